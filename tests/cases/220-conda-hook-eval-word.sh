#!/bin/bash
#SBATCH --gres=gpu:1
#SBATCH -c 4
#SBATCH -t 8:00:00
eval "$(conda shell.bash hook)"
conda activate seg
python finetune.py --eval_every 500 --epochs 40
