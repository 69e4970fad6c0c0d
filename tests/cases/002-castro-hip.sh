#!/bin/bash -l
#SBATCH -J blast
#SBATCH -A prj000
#SBATCH -t 00:30:00
#SBATCH -p batch
#SBATCH -N 16
#SBATCH --ntasks-per-node=8
#SBATCH --cpus-per-task=7
#SBATCH --gpus-per-task=1
#SBATCH --gpu-bind=closest
module load craype-accel-amd-gfx90a
module load rocm
export MPICH_GPU_SUPPORT_ENABLED=1
srun -n 128 ./Castro3d.MPI.HIP.ex inputs.3d > run.log 2>&1
