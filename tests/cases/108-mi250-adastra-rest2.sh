#!/bin/bash
#SBATCH --job-name=rest2_eq
#SBATCH --constraint=MI250
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=8
#SBATCH --gpus-per-node=1
#SBATCH --hint=nomultithread
#SBATCH --time=00:20:00
module purge
threads="${BM_THREADS:-$SLURM_CPUS_PER_TASK}"
gpu=mi250
export OMP_NUM_THREADS=$threads
srun gmx_mpi mdrun -s eq.tpr -ntomp $threads -nb gpu -bonded gpu
