#!/bin/bash
#SBATCH --job-name=mstep
#SBATCH --partition=cascadelake
#SBATCH --gres=gpu:1
mkdir -p build
spack load cuda
srun nvcc gmm.cu -o ./build/gmm -lcudart -lcublas -lm
srun ./build/gmm data.txt 8
