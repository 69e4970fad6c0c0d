#!/bin/bash
#SBATCH --job-name=unet_train
#SBATCH --partition=serc
#SBATCH -c 10
#SBATCH -G 1
#SBATCH --gpus-per-node=1
#SBATCH --time=120:00:00
#SBATCH -C GPU_MEM:80GB
#SBATCH --mem-per-cpu=20GB
source env/bin/activate
python unet_train.py --lr 1e-4
