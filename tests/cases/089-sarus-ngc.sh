#!/bin/bash -l
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=1
#SBATCH --gres=gpu:1
#SBATCH --partition=normal
#SBATCH --time=24:00:00
module load daint-gpu
module load sarus
export NCCL_DEBUG=INFO
export NCCL_NET_GDR_LEVEL=PHB
export MASTER_ADDR=$(hostname)
srun -ul sarus run --workdir "$(pwd)" --mount type=bind,source=$HOME,destination=$HOME \
  nvcr.io/nvidia/pytorch:23.09-py3 bash -c "source ./export_DDP_vars.sh; python -u train_net.py --epochs 90"
