#!/bin/bash
# Preprocessing without any accelerator: slurm-het leaves it exactly as it is.
#SBATCH --job-name=tokenize
#SBATCH --cpus-per-task=8
#SBATCH --mem=16G
#SBATCH --time=01:00:00

srun hostname
