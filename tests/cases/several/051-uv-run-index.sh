#!/bin/bash
#SBATCH --gres=gpu:1
#SBATCH -t 1:00:00
uv run --extra-index-url https://download.pytorch.org/whl/cu121 train.py
