#!/bin/bash
#SBATCH -J pw
#SBATCH -N 1
#SBATCH -n 1
#SBATCH --gres=gpu:1
source /public/software/compiler/dtk/21.04/env.sh
export OMP_NUM_THREADS=8
mpirun -np 1 ./aims.x < control.in
