#!/bin/bash
#SBATCH --job-name=ippl
#SBATCH --nodes=1
#SBATCH --gpus-per-task=1
#SBATCH --uenv=/store/uenvs/opal-x-gh200-mpich-gcc-2025-09-28-cuda12.8.squashfs
#SBATCH --view=develop
export OMP_PROC_BIND=spread
srun ./alpine/LandauDamping 64 64 64 1000
