#!/bin/bash
#SBATCH -J ptycho
#SBATCH -q regular
#SBATCH -C "gpu&hbm80g"
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=4
#SBATCH --gpus-per-node=4
#SBATCH --cpus-per-task=32
#SBATCH -t 12:00:00
#SBATCH --image=registry/proj/ptycho:26.01
#SBATCH --module=gpu,nccl-cu13-plugin
export HDF5_USE_FILE_LOCKING=FALSE
export MASTER_ADDR=$(hostname)
export MASTER_PORT=29500
export PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True
srun -u shifter bash -c "source export_vars.sh; python run_ptycho.py --config ptycho.yaml"
