#!/bin/bash
#SBATCH --gres=gpu:1
#SBATCH -t 1:00:00
export VLLM_TARGET_DEVICE=rocm
vllm serve x
