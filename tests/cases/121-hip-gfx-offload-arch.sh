#!/bin/bash
#SBATCH -J kernels
#SBATCH -N 4
#SBATCH --ntasks-per-node=4
#SBATCH --cpus-per-task=5
#SBATCH --gres=gpu:4
FLAGS="-O3 --offload-arch=gfx906 --gpu-max-threads-per-block=1024"
export ROCR_VISIBLE_DEVICES=$((SLURM_LOCALID % 4))
hipcc $FLAGS kernel.hip -o kernel.out
srun ./kernel.out 1024 1000
