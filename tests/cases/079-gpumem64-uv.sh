#!/usr/bin/env bash
#SBATCH --job-name=train
#SBATCH --tmp=16G
#SBATCH --cpus-per-task=16
#SBATCH --mem-per-cpu=16G
#SBATCH --gpus-per-node=1
#SBATCH --gres=gpumem:64g
#SBATCH --time=24:00:00
source scripts/env.sh
uv run -m train "$@"
