#!/bin/bash
#SBATCH --job-name=lmp
#SBATCH --partition=dgx2
#SBATCH -N 1
#SBATCH --ntasks-per-node=2
#SBATCH --cpus-per-task=6
#SBATCH --mem=MaxMemPerNode
#SBATCH --gres=gpu:2
ulimit -s unlimited
IMAGE=/share/img/lammps_15Jun2020.sif
srun --mpi=pmi2 singularity run --nv $IMAGE lmp -k on g 2 t 12 -sf kk -pk kokkos comm device -in in.eam
