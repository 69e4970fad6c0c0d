#!/bin/bash
#SBATCH -J mattergen-train
#SBATCH -t 00:45:00
#SBATCH -p batch
#SBATCH -N 64
#SBATCH --ntasks-per-node=8
#SBATCH --gpus-per-task=1
#SBATCH --gpu-bind=closest
#SBATCH --network=disable_rdzv_get
#SBATCH -C nvme
set -euo pipefail
source /sw/venvs/mattergen-rocm711/bin/activate
export NCCL_SOCKET_IFNAME=hsn0
export MIOPEN_DISABLE_CACHE=1
srun python -m mattergen.train --config-name default trainer.num_nodes=64
