#!/bin/bash -l
#SBATCH --time=24:00:00
#SBATCH -C "gpu&hbm80g"
#SBATCH -q regular
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=1
#SBATCH --cpus-per-task=32
#SBATCH --job-name allen_cahn
conda activate /pscratch/env
CUDA_VISIBLE_DEVICES=0 python -m src.experiments.allen_cahn --n_epochs 1000000 --eval_every 50 --n_layers 3 --hidden_dim 256
