#!/bin/bash
#SBATCH -C gpu
#SBATCH -q shared
#SBATCH -n 1
#SBATCH --gpus-per-task=1
module load cudnn/8.9.3_cuda12
python gentrajHB.py --gpu 0 --mol c2h4 --basis b --dt 0.0008 --nsteps 200000
