#!/bin/bash
#SBATCH -A m0000_g
#SBATCH -C gpu
#SBATCH -q debug
#SBATCH -t 00:10:00
#SBATCH -N 1
#SBATCH --image=ghcr.io/org/cuda-quantum:mpich
#SBATCH --ntasks-per-node=4
#SBATCH --module=cuda-mpich
srun -N 1 -n 4 shifter bash srun_exec.sh $1 --target nvidia-mgpu
