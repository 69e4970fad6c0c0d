#!/bin/bash
#SBATCH -n 32
#SBATCH -N 1
#SBATCH --gres=gpu:4
export MIOPEN_FIND_MODE=3
export HSA_FORCE_FINE_GRAIN_PCIE=1
export NCCL_IB_HCA=mlx5_0
export NCCL_SOCKET_IFNAME=ib0
export ROCBLAS_TENSILE_LIBPATH=/public/software/compiler/rocm/dtk-23.10/lib/rocblas/library_dcu2
source ~/anaconda3/etc/profile.d/conda.sh
conda activate speech
python -u train.py --config config/conf.yaml
