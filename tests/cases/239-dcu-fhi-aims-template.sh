#!/bin/bash
#SBATCH --partition=dcu
#SBATCH --nodes=2
#SBATCH --gres=dcu:4
#SBATCH --tasks-per-node=32
#SBATCH --cpus-per-task=1
#SBATCH --time=05:00:00
export FHI_AIMS_OCL=ON
export FHI_AIMS_OCL_DEBUG_IO=ON
module unload compiler/rocm/dtk/22.10.1
module load compiler/rocm/dtk/21.04
module load mpi/intelmpi/2017.4.239
mpirun -np 64 ./aims.x
