#!/bin/bash
#SBATCH --job-name=ABACUS_GPU
#SBATCH --partition=kshdnormal
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=32
#SBATCH --gres=gpu:4
#SBATCH --time=01:00:00
abacus=/public/home/me/abacus/build/abacus_pw
module purge
module load compiler/devtoolset/7.3.1
module load compiler/rocm/dtk-22.10
module load mpi/hpcx/2.11.0/gcc-7.3.1
cd case
mpirun -np 4 $abacus
