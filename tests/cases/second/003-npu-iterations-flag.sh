#!/bin/bash
#SBATCH --job-name=nn
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=8
#SBATCH --gres=npu:8
#SBATCH --time=24:00:00
module load ascend-toolkit/latest
module load python/3.9
srun python nn_solver.py --npu --chi 0.8 --iterations 1000000
