#!/bin/bash
#SBATCH --gres=gpu:1
#SBATCH -t 1:00:00
uv pip sync --index-url https://download.pytorch.org/whl/rocm6.3 req.txt
python train.py
