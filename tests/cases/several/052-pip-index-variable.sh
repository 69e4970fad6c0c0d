#!/bin/bash
#SBATCH --gres=gpu:1
#SBATCH -t 1:00:00
export PIP_INDEX_URL=https://download.pytorch.org/whl/xpu
pip install torch
python train.py
