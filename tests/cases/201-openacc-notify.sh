#!/bin/bash
#SBATCH -N 1
#SBATCH -C gpu
#SBATCH -G 4
#SBATCH -t 5
export NVCOMPILER_ACC_NOTIFY=3
./vec_add.seq
./vec_add.openmp
./vec_add.openacc
