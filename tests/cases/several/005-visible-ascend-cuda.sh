#!/bin/bash
#SBATCH --gres=gpu:1
#SBATCH -t 1:00:00
export ASCEND_RT_VISIBLE_DEVICES=0
export CUDA_VISIBLE_DEVICES=0
torchrun train.py
