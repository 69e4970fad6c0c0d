#!/bin/bash
#SBATCH --job-name=vasp-gpu
#SBATCH --partition=es1
#SBATCH --qos=es_normal
#SBATCH --nodes=1
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=2
#SBATCH --gres=gpu:1
#SBATCH --time=1:00:00
module load nvhpc/23.11
mpirun -np 1 vasp_std
