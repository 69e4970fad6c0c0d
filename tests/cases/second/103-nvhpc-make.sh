#!/bin/bash
#SBATCH --nodes=1
#SBATCH --ntasks=4
#SBATCH --gpus-per-task=1
#SBATCH --partition=gpu
module load NVHPC
nvcc --version
make clean
make
./main.out
