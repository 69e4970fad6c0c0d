#!/bin/bash
#SBATCH --gres=gpu:1
#SBATCH -t 1:00:00
export CUDA_DEVICE_MAX_CONNECTIONS=1
export HCCL_CONNECT_TIMEOUT=1800
torchrun train.py
