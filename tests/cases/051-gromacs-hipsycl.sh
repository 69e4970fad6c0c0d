#!/bin/bash
#SBATCH --partition=small-g
#SBATCH --time=01:00:00
#SBATCH --cpus-per-task=2
#SBATCH --nodes=1
export OMP_NUM_THREADS=$SLURM_CPUS_PER_TASK
module use /appl/local/csc/modulefiles
module load gromacs/2023.1-hipsycl
srun gmx_mpi mdrun -deffnm em
