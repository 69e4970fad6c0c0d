#!/bin/bash
#SBATCH --gres=gpu:1
#SBATCH -t 1:00:00
podman run --rm --device amd.com/gpu=all torch python train.py
