#!/bin/bash
#SBATCH --gres=gpu:1
#SBATCH -t 1:00:00
export CUDA_VISIBLE_DEVICES=0
export HIP_VISIBLE_DEVICES=$CUDA_VISIBLE_DEVICES
python main.py
