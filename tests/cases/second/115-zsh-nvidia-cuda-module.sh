#!/bin/bash
#SBATCH -p instruction
#SBATCH --gres=gpu:1
module load nvidia/cuda/11.8.0
nvcc task2.cu stencil.cu -Xcompiler -O3 -o task2
for i in {0..19}
do
  ./task2 $((2**(10+i))) 128 1024
done
