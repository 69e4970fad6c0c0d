#!/bin/bash
#SBATCH -N 4
#SBATCH -n 4
#SBATCH --gpus-per-node=1
#SBATCH -t 2:00:00
module load sarus
srun -N4 -n4 sarus run --mpi --mount=type=bind,source=$PWD,destination=/workspace ghcr.io/org/sky-sim:latest python sim_sky.py
