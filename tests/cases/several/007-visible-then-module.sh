#!/bin/bash
#SBATCH --gres=gpu:1
#SBATCH -t 1:00:00
export CUDA_VISIBLE_DEVICES=0 HIP_VISIBLE_DEVICES=0
module load rocm
python main.py
