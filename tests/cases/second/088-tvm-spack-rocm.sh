#!/bin/bash
#SBATCH -N 1
#SBATCH --gpus-per-node=8
spack load kokkos+rocm~cuda amdgpu_target=gfx90a
srun -n 8 ./bench --kokkos-num-devices=8
