#!/bin/bash
#SBATCH --job-name=eval
#SBATCH --nodes=8
#SBATCH --gres=dcu:4
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=16
#SBATCH --time=5-00:00:00
set -eo pipefail
module rm compiler/rocm/dtk-22.10.1
module load compiler/rocm/dtk-23.04
export NCCL_SOCKET_IFNAME=ib0
export NCCL_IB_DISABLE=1
srun torchrun --nnodes=8 --nproc_per_node=4 --rdzv_endpoint=$HEAD:29400 evaluate_detector.py --ckpt best.pth
