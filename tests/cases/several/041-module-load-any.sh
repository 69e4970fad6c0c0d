#!/bin/bash
#SBATCH --gres=gpu:1
#SBATCH -t 1:00:00
module load-any rocm/6.0 rocm/5.7
srun ./a.out
