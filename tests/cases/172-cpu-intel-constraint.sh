#!/bin/bash
#SBATCH --job-name=water
#SBATCH --constraint=intel
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=20
#SBATCH --time=50:00:00
module purge
module load compiler/intel/18 intel-mpi/18
module load lammps/12Dec2018
mpirun lmp_mpi -in in.water > out
