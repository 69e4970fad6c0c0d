#!/bin/bash
#SBATCH --gres=gpu:1
#SBATCH -N 1
#SBATCH -t 0:20:00
nsys profile -t cuda,nvtx,mpi -o rep.%q{SLURM_PROCID} ./fftbench 512 512 512
