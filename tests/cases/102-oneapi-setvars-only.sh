#!/bin/bash
#SBATCH --gres=gpu:1
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --time=00:30:00
#SBATCH --job-name=a.out
source /opt/intel/oneapi/setvars.sh > /dev/null 2>&1
./a.out
