#!/bin/bash
#SBATCH --gres=gpu:1
#SBATCH -t 1:00:00
micromamba run -p /opt/envs/torch-rocm python train.py
