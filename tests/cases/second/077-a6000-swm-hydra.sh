#!/bin/bash
#SBATCH --partition=debug
#SBATCH --cpus-per-task=8
#SBATCH --gres=gpu:a6000:1
source $(conda info --base)/etc/profile.d/conda.sh
conda activate swm
srun python train.py data=tworoom loader.batch_size=256 wandb.enabled=True
