#!/bin/bash
#SBATCH --gres=gpu:1
#SBATCH -t 1:00:00
conda activate text-cls
torchrun finetune.py
