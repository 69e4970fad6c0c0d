#!/bin/bash
#SBATCH --gpus-per-node=8
#SBATCH -N 1
#SBATCH --ntasks-per-node=8
#SBATCH -t 0:30:00
module load omnitrace
srun omnitrace-sample -- ./cp2k.psmp -i H2O-128.inp
