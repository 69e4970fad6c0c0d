#!/bin/zsh
#SBATCH --partition=rush,gpu
#SBATCH --gres=gpu:a6000:4
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=16
#SBATCH --mem=128G
#SBATCH --time=672:00:00
#SBATCH --requeue
export NCCL_P2P_LEVEL=NVL
nvidia-smi
torchrun run.py --per_device_train_batch_size 128 --num_train_epochs 100 --output_dir saves/inv
