#!/bin/bash
#SBATCH --gres=gpu:1
#SBATCH -t 1:00:00
conda run --no-capture-output -n rocm python train.py
