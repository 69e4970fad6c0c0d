#!/bin/bash
#SBATCH --job-name="rfm_acc"
#SBATCH --ntasks=1
#SBATCH --ntasks-per-node=2
#SBATCH --cpus-per-task=2
#SBATCH --time=0:40:0
#SBATCH --gres=gpu:A40:1
module load nvhpc
srun --cpus-per-task=2 ./acc_fortran_check
