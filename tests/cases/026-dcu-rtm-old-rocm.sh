#!/bin/bash
#SBATCH -J RTM
#SBATCH -t 1000:0:00
#SBATCH -p normal
#SBATCH -N 5
#SBATCH --ntasks-per-node=4
#SBATCH --ntasks-per-socket=1
#SBATCH --mem=90000MB
#SBATCH --gres=dcu:4
#SBATCH --cpus-per-task=1
#SBATCH --exclusive
#module load compiler/rocm/2.9
ulimit -s unlimited
export MPITYPE=pmix_v3
time srun --mpi=$MPITYPE ./forward3d par/parameter.dat > logout
