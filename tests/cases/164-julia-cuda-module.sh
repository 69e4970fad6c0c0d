#!/bin/bash
#SBATCH --job-name="julia on gpu"
#SBATCH --partition=gpu
#SBATCH --time=00:10:00
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=8
# SBATCH --gpus-per-task=4
#SBATCH --gres=gpu:1
#SBATCH --mem-per-cpu=1G
module load 2022r2 openmpi julia
module load cuda/12.1
srun julia gpu_demo.jl > gpu_demo.log
