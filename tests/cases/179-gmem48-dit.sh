#!/bin/bash
#SBATCH --time=48:00:00
#SBATCH --partition=ddp-2way
#SBATCH --mem=100G
#SBATCH --nodes=1
#SBATCH --gres=gpu:2
#SBATCH --cpus-per-task=12
#SBATCH --constraint=gmem48G
date
time torchrun --nnodes=1 --nproc_per_node=2 train.py --model DiT-B/4 --epochs 2000 --image-size 256
