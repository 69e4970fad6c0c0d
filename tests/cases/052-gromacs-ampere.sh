#!/bin/bash
#SBATCH -J membrane
#SBATCH --partition=cgpu
#SBATCH --export=ALL
#SBATCH --gres=gpu:1
#SBATCH --cpus-per-task=25
#SBATCH --constraint=ampere
#SBATCH -t 72:00:00
module load intel/17.0.1
module load mvapich2/2.2
module load cuda/8.0
module load gromacs/2016.1
SRUN="srun --mpi=pmi2"
$SRUN gmx_mpi grompp -f em.mdp -c in.gro -p in.top -o em
$SRUN gmx_mpi mdrun -ntomp 1 -deffnm em -v
