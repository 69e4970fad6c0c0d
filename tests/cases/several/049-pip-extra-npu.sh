#!/bin/bash
#SBATCH --gres=gpu:1
#SBATCH -t 1:00:00
pip install -e ".[torch-npu,metrics]"
python train.py
