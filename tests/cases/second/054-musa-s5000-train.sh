#!/bin/bash
#SBATCH --nodes=2
#SBATCH --gres=gpu:8
export OMP_NUM_THREADS=4
export MUSA_VISIBLE_DEVICES=0,1,2,3,4,5,6,7
export MUSA_EXECUTION_TIMEOUT=32000000
export MCCL_PROTOS=2
export MCCL_IB_GID_INDEX=3
srun torchrun --nproc_per_node 8 --nnodes=2 pretrain_gpt.py --tensor-model-parallel-size 1
