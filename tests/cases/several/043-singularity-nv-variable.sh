#!/bin/bash
#SBATCH --gres=gpu:1
#SBATCH -t 1:00:00
export SINGULARITY_NV=true
singularity exec torch.sif python train.py
