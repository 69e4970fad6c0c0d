#!/bin/bash
#SBATCH -J moe
#SBATCH -N 4
#SBATCH --ntasks-per-node=1
#SBATCH --tres-per-task=gres/gpu:b200:8
#SBATCH -t 1-00:00:00
srun torchrun --nnodes 4 --nproc_per_node 8 --rdzv_endpoint $HEAD:29500 pretrain_moe.py --config moe.yaml
