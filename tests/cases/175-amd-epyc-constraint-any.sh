#!/bin/bash
#SBATCH -J md
#SBATCH -C "epyc&ib"
#SBATCH --gpus=1
#SBATCH -c 16
#SBATCH -t 1-0
module load aocc/4.1 aocl/4.1
module load gromacs/2024.2
gmx mdrun -deffnm prod -ntmpi 1 -ntomp 16 -nb gpu -pme gpu -update gpu
