#!/bin/bash
#SBATCH --gres=gpu:1
#SBATCH -c 8
#SBATCH -t 10:00:00
export TF_GPU_ALLOCATOR=cuda_malloc_async
source venv/bin/activate
python train_cnn.py --epochs 60 --batch 128
