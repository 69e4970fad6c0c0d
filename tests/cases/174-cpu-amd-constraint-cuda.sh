#!/bin/bash
#SBATCH -J clip
#SBATCH -C amd
#SBATCH --gres=gpu:2
#SBATCH -c 32
#SBATCH -t 2-00:00:00
ml purge
ml CUDA/12.1.1 Python/3.11.3-GCCcore-12.3.0
source venv/bin/activate
torchrun --nproc_per_node=2 train_clip.py --batch-size 256
