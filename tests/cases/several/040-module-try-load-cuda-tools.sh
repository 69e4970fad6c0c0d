#!/bin/bash
#SBATCH --gres=gpu:1
#SBATCH -t 1:00:00
nvidia-smi
module try-load rocm/6.0
srun ./a.out
