#!/bin/bash
#SBATCH -N 16
#SBATCH -C gpu
#SBATCH -t 01:00:00
#SBATCH -q regular
#SBATCH --cpus-per-task=32
#SBATCH --ntasks-per-node=4
#SBATCH --gpus-per-task=1
#SBATCH --gpu-bind=none
#SBATCH --exclusive
module load PrgEnv-nvidia
module load craype-accel-nvidia80
export MPICH_GPU_SUPPORT_ENABLED=1
export QUDA_ENABLE_GDR=1
srun -n 64 ./su3_rhmd_hisq input.txt
