#!/bin/bash
#SBATCH --job-name=olmo_mini
#SBATCH --nodes=1
#SBATCH --partition=pvc
#SBATCH --gres=gpu:pvc:6
DATA_DIR=/scratch/$USER/data
echo "GPUs: $CUDA_VISIBLE_DEVICES"
numactl --hardware 2>/dev/null || echo "none"
source venv/bin/activate
torchrun --nproc-per-node=6 train_olmo.py --data $DATA_DIR
