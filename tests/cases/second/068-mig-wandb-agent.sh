#!/bin/bash
#SBATCH --job-name=train_mp_20
#SBATCH --gres=gpu:3g.40gb:1
#SBATCH --array=0-3
module load anaconda/3
conda activate diffcsp39
wandb agent team/diffcsp/abc
