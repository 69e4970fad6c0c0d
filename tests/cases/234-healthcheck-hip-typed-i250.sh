#!/bin/bash
#SBATCH -J p2p
#SBATCH -N 1
#SBATCH --gres=gpu:amd_instinct_mi250x:8
#SBATCH -t 0:10:00
srun -n 1 ./p2p_bandwidth --all
