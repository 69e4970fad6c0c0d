#!/bin/bash
#SBATCH -N 2
#SBATCH --ntasks-per-node=4
#SBATCH --gres=gpu:4
#SBATCH --mem=110G
module use /public/software/modules
module purge
module load compiler/rocm/dtk-22.10.1
module load apps/PyTorch/1.10.0a0-build/torch1.10.0a0-dtk21.10-build
SCRIPT_PATH="./src/train.py"
export NCCL_SOCKET_IFNAME=ib0
export NCCL_NET_GDR_LEVEL=PHB
srun python $SCRIPT_PATH --batch_size 4
