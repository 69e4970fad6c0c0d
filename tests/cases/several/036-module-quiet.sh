#!/bin/bash
#SBATCH --gres=gpu:1
#SBATCH -t 1:00:00
module -s load rocm/6.0
srun python train.py
