#!/bin/bash
#SBATCH -p fat
#SBATCH -N 1
#SBATCH -J qmc
##SBATCH --gres=dcu:4
#SBATCH --ntasks=30
#SBATCH --exclusive
# module load compiler/rocm/dtk/23.10
source ./scripts/param.sh
mpiexec -n 30 julia code/main_mpi.jl $U $N
