#!/bin/bash
#SBATCH -J graph
#SBATCH -N 2
#SBATCH --ntasks 2
#SBATCH --ntasks-per-node=1
#SBATCH --gres=dcu:1
module purge
module load compiler/gcc/8.2.0
module load compiler/dtk/24.04
module load mpi/hpcx/2.7.4-gcc-7.3.1
export ROCM_PATH=/public/software/compiler/rocm/dtk-24.04
mpirun -np 2 ./graph_test --graph web.bin --algo bfs
