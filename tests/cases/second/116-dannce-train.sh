#!/bin/bash
#SBATCH -N 1
#SBATCH -p gpu
#SBATCH --gres=gpu:1
module load Anaconda3/5.0.1
source activate dannce
dannce-train "$@"
