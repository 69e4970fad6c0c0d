#!/bin/bash
#SBATCH -J pipeline
#SBATCH -C intel
#SBATCH --gres=gpu:1
#SBATCH -c 12
#SBATCH -t 10:00:00
module load intel/2021.4 imkl/2021.4
module load lammps/2Aug2023
mpirun -np 1 lmp -sf gpu -pk gpu 1 -in in.melt
