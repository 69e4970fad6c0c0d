#!/bin/bash
#SBATCH -N 1
#SBATCH -n 4
#SBATCH --gres=gpu:1
module load rocm
module load openmpi4/4.1.8
hipcc --offload-arch=gfx942 -O3 impl1.cpp -L/opt/rocm-7.1.0/lib -lamdhip64 -lmpi -o impl
mpirun -np 4 ./impl
