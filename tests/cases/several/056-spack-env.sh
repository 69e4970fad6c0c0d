#!/bin/bash
#SBATCH --gres=gpu:1
#SBATCH -t 1:00:00
spack env activate rocm-env
./a.out
