#!/bin/bash
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH -p dev-g
#SBATCH --gpus-per-node=mi250:8
module load pytorch
export NCCL_DEBUG=INFO
srun torchrun --nnodes=2 --nproc_per_node=8 --node_rank $SLURM_PROCID --rdzv_backend c10d primitives.py
