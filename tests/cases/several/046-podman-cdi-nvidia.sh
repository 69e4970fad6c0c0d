#!/bin/bash
#SBATCH --gres=gpu:1
#SBATCH -t 1:00:00
podman run --rm --device=nvidia.com/gpu=all torch python train.py
