#!/bin/bash
#SBATCH --time=20:00:00
#SBATCH --nodes=1
#SBATCH --gpus-per-node=1
#SBATCH --constraint=gpu_mem_32
module load gcc
#module load cuda
source activate ftc
python train_ftc.py --epochs 50
