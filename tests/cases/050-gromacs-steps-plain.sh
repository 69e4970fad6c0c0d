#!/bin/bash
#SBATCH --partition=gpu
#SBATCH --gres=gpu:1
#SBATCH --no-requeue
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --time=72:00:00
#SBATCH --mem=10G
module load GCC/8.2.0
module load OpenMPI/3.1.4
module load GROMACS/2020
cd 1_min
gmx grompp -f minim.mdp -c ../ions.gro -p ../topol.top -o em.tpr
gmx mdrun -v -deffnm em
cd ../2_nvt
gmx mdrun -v -deffnm nvt -nb gpu
