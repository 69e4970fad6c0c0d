#!/bin/bash
#SBATCH -N 1
#SBATCH --gres=gpu:1
#SBATCH -t 0:15:00
#SBATCH -J offload
source /etc/profile
module load iimpi/2025a imkl/2025.1.0
export LIBOMPTARGET_PLUGIN=LEVEL0
mpif90 -f90=ifx -O3 -fiopenmp -fopenmp-targets=spir64 mini.f90 -o mini
./mini
