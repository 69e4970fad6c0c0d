#!/bin/bash
#SBATCH --job-name=ddp-torch
#SBATCH --partition=pvc9
#SBATCH --nodes=2
#SBATCH --gres=gpu:4
set -e
source ../envs/ai-setup.sh
export MASTER_ADDR=$(hostname -s)
srun python mnist_classify_ddp.py --epochs=14
