#!/bin/bash
#SBATCH -p k100ai
#SBATCH -N 8
#SBATCH --gres=gpu:4
#SBATCH --cpus-per-task=32
#SBATCH --ntasks-per-node=1
module purge
module load compiler/dtk/25.04
source ~/conda.env
conda activate onescience
export NCCL_IB_HCA=mlx5_0
export NCCL_SOCKET_IFNAME=ib0
export HSA_FORCE_FINE_GRAIN_PCIE=1
export HIP_VISIBLE_DEVICES=0,1,2,3
which hipcc
nodes=$(scontrol show hostnames $SLURM_JOB_NODELIST)
srun --nodes=$SLURM_NNODES torchrun --nnodes=$SLURM_NNODES --node_rank=$SLURM_NODEID --nproc_per_node=4 train.py
