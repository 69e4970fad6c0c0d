#!/bin/bash
#SBATCH -J sft
#SBATCH -N 2
#SBATCH --ntasks-per-node=1
#SBATCH --gres=gpu:BW1000:8
#SBATCH -t 2-0
export HIP_VISIBLE_DEVICES=0,1,2,3,4,5,6,7
export NCCL_IB_HCA=mlx5_0
srun torchrun --nnodes=2 --nproc_per_node=8 --rdzv_endpoint=$HEAD:29500 sft.py --config sft.yaml
