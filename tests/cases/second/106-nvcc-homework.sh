#!/bin/bash
#SBATCH --job-name=task1
#SBATCH --gpus-per-task=1
#SBATCH --partition=instruction
nvcc task1.cu -Xcompiler -O3 -Xptxas -O3 -std=c++17 -o task1
./task1
