#!/bin/bash
#SBATCH --job-name=lin_prob
#SBATCH --container-image ghcr.io\#org/ijepa
#SBATCH --container-mounts /datasets:/datasets
#SBATCH --gpus=1
#SBATCH --cpus-per-gpu=8
#SBATCH --mem-per-gpu=40G
#SBATCH --time=5-05:00:00
set -e
python linear_probe_train.py --data /datasets/imagenet --epochs 28
