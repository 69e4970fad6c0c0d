#!/bin/bash
#SBATCH --gres=gpu:1
#SBATCH -t 1:00:00
module --quiet load cuda/12.1
srun ./a.out
