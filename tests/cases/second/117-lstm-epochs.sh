#!/bin/bash
#SBATCH -p gpu
#SBATCH --gres=gpu:1
module load anaconda3/5.3.0
python 1dcov+lstm+attention.py --batch_size 5 --lr 0.001 --epochs 2 --seed 10 --weight_decay 1e-4
