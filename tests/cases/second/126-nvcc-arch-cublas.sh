#!/bin/bash
#SBATCH -C gpu
#SBATCH -N 1
#SBATCH --gpus-per-task=1
nvcc task1.cu mmul.cu -O3 -arch=sm_80 -lcublas -o task1
./task1 32 1
