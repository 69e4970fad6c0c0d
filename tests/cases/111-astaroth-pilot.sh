#!/bin/bash
#SBATCH --gres=gpu:8
#SBATCH --partition=pilot
#SBATCH --ntasks=4096
#SBATCH --nodes=512
#SBATCH --time=00:59:00
module purge
module load CrayEnv
module load PrgEnv-cray
module load craype-accel-amd-gfx90a
module load rocm
srun ./ac_run_mpi --config ./astaroth.conf
