#!/bin/bash
#SBATCH -N 1
#SBATCH --gpus-per-node=1
#SBATCH -c 7
#SBATCH -t 1:00:00
module load LUMI/22.08 partition/G
export JULIA_AMDGPU_DISABLE_ARTIFACTS=1
export IGG_ROCMAWARE_MPI=1
julia --project -O3 stokes_mpi.jl
