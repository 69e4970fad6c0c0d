#!/bin/bash
#SBATCH -N 1
#SBATCH --gres=gpu:4
#SBATCH -c 32
export MIOPEN_FIND_MODE=3
export HSA_FORCE_FINE_GRAIN_PCIE=1
export NCCL_SOCKET_IFNAME=ib0
source activate speech
torchrun --nproc_per_node=4 train.py --config config/conf.yaml
