#!/bin/sh -l
#SBATCH -c 2
#SBATCH -N 2
#SBATCH -p gpu
#SBATCH --gpus-per-node 4
#SBATCH -t 30
#SBATCH --export=ALL
mpirun -n 8 python test_horovod.py
