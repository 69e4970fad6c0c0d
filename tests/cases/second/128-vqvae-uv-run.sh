#!/bin/bash
#SBATCH -C gpu
#SBATCH -n 1
#SBATCH --gpus-per-task=1
PROJECT_ROOT="/global/cfs/hep/p"
cd $PROJECT_ROOT
uv run python $PROJECT_ROOT/src/p/training/train_vqvae.py --train_embedder
