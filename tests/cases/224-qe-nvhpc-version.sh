#!/bin/bash
#SBATCH -N 1
#SBATCH --ntasks-per-node=4
#SBATCH --gpus-per-task=1
#SBATCH -c 8
#SBATCH -t 6:00:00
ml QuantumESPRESSO/7.3.1-NVHPC-24.3
srun pw.x -npool 4 -i scf.in > scf.out
