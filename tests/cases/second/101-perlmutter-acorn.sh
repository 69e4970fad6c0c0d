#!/bin/bash
#SBATCH -q regular
#SBATCH -C gpu&hbm80g
#SBATCH -t 12:00:00
#SBATCH -N 1
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-task=1
#SBATCH -c 32
#SBATCH -J Acorn-train
#SBATCH --comment=96:00:00
eval "$(conda shell.bash hook)"
conda activate acorn
export SLURM_CPU_BIND="cores"
srun acorn train $@
