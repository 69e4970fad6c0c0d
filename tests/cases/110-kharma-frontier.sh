#!/bin/bash
#SBATCH -A PRJ000
#SBATCH -p batch
#SBATCH -J torus
#SBATCH -t 2:00:00
#SBATCH -N 1
module load PrgEnv-amd
module load craype-accel-amd-gfx90a
export KOKKOS_MAP_DEVICE_ID_BY=mpi_rank
export MPICH_GPU_SUPPORT_ENABLED=1
srun -n 8 -c 1 --gpus-per-node=8 --gpu-bind=closest ./kharma.hip -i torus.par
