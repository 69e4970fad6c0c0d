#!/bin/bash
#SBATCH --gres=gpu:1
#SBATCH -t 1:00:00
export CUDA_HOME=/usr/local/cuda
export ROCM_PATH=/opt/rocm
nvidia-smi
make run
