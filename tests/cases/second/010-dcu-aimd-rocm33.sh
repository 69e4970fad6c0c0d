#!/bin/bash
#SBATCH -J aimd
#SBATCH -N 128
#SBATCH -n 512
#SBATCH --mem=90G
#SBATCH --gres=dcu:4
module purge
module add compiler/devtoolset/7.3.1  mpi/hpcx/2.7.4/gcc-7.3.1 compiler/rocm/3.3
srun hostname | sort -u > nd
APP=/public/home/me/aimd-dcu/examples/pwdft
srun --mpi=pmix_v3 $APP
