#!/bin/bash
#SBATCH --gres=gpu:1
#SBATCH -t 1:00:00
torchrun --nproc_per_node 8 train.py
lm_eval --model hf --tasks mmlu
