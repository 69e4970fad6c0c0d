#!/bin/bash
#SBATCH --gres=gpu:1
#SBATCH -c 4
#SBATCH -t 2:00:00
cd /data/training_runs/exp12
python predict.py --weights best.pt --input /data/train/images --out preds
