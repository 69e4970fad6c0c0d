#!/bin/bash
#SBATCH --job-name=02_train
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=10
#SBATCH --partition=h200
#SBATCH --gres=gpu:3g.71gb:1
#SBATCH --mem=100G
#SBATCH --container-image=/images/train.sqsh
#SBATCH --container-mounts=/storage/proj
cd /storage/proj
python src/train_structured.py --epochs 50
