#!/bin/bash
#SBATCH --gres=gpu:1
#SBATCH -t 1:00:00
module load amber
srun pmemd.hip.MPI -O -i mdin
