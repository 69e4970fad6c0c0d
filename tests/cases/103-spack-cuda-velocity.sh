#!/bin/bash
#SBATCH --job-name=velocity
#SBATCH --nodes=1
#SBATCH --partition=normal
#SBATCH --exclusive
#SBATCH --time=05:30:00
spack load gcc/76jw6nu
spack load cuda@12.9
ncu --set full ./velocity_gpu 9
