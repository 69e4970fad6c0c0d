#!/bin/bash
#SBATCH --gres=gpu:1
#SBATCH -t 1:00:00
export APPTAINER_ROCM=1
apptainer exec torch.sif python train.py
