#!/bin/bash
#SBATCH --job-name="julia on gpu"
#SBATCH --partition=gpu
#SBATCH --time=00:10:00
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=8
# SBATCH --gpus-per-task=1
module load 2022r2 openmpi julia
module load cuda/12.1
srun julia gpu_dl.jl > gpu_dl.log
