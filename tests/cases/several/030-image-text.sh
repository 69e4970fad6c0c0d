#!/bin/bash
#SBATCH --gres=gpu:1
#SBATCH -t 1:00:00
apptainer exec --nv text-to-image.sif python train_dreambooth.py
