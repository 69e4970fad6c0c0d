#!/bin/bash
#SBATCH --job-name=pde_nn
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=8
#SBATCH --gres=npu:8
#SBATCH --time=24:00:00
#SBATCH --output=pde_nn_%j.out
module load ascend-toolkit/latest
module load python/3.9
srun python pde_nn_train.py --npu --iterations 1000000
