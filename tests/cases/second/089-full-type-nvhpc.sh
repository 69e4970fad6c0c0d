#!/bin/bash
#SBATCH --job-name=training
#SBATCH --nodes=1
#SBATCH --gres=gpu:full:1
#SBATCH --cpus-per-task=76
export CUDA_CACHE_DISABLE=1
module purge
module load toolkit/nvidia-hpc-sdk/23.9
source $W/hida_venv/bin/activate
srun python $W/train.py
