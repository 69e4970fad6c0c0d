#!/bin/bash
#SBATCH --job-name=app
#SBATCH --gpus=2
#SBATCH --time=00:10:00
module load PrgEnv-gnu
module load craype-x86-milan
export MPICH_GPU_SUPPORT_ENABLED=1
srun --ntasks=2 --cpus-per-task=8 ./a.out
