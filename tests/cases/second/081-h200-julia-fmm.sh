#!/bin/bash
#SBATCH --gpus=h200:1
#SBATCH --time=08:00:00
source /etc/profile
module load cuda julia/1.11.7
export FASTMULTIPOLE_FORCE_CUDA_LOAD=1 JULIA_NUM_THREADS=8
julia --project=$ENVDIR scripts/error_decomposition.jl
