#!/bin/bash
#SBATCH --gres=gpu:1
#SBATCH -t 1:00:00
ml -q load rocm/6.0
srun ./a.out
