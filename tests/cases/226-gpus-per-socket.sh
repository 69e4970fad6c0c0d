#!/bin/bash
#SBATCH -J socket
#SBATCH -N 1
#SBATCH --sockets-per-node=2
#SBATCH --gpus-per-socket=2
#SBATCH -t 1:00:00
srun ./solver -case cavity
