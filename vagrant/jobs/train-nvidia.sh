#!/bin/bash
#SBATCH --job-name=train-nvidia --gres=gpu:2 --time=5 --output=/dev/null
export NCCL_DEBUG=INFO CUDA_HOME=/usr/local/cuda
#HET vendors=nvidia
sleep "${1:-20}"
