#!/bin/bash
#SBATCH --partition=gpu
#SBATCH --nodes=1
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=8
#SBATCH --gpus-per-task=a100:1
#SBATCH --mem=16G
#SBATCH --time=1:00:00
module purge
module load julia/1.10.2
julia --threads $SLURM_CPUS_PER_TASK sim.jl
