#!/bin/bash
#SBATCH -N 1
#SBATCH --ntasks-per-node=8
#SBATCH --gres=gpu:1
module load cuda/11.2
module load fftw/3.3.5
module load spack/0.17
module load nvhpc/22.1-gcc-11.2.0-axka
burger/burger.exe
