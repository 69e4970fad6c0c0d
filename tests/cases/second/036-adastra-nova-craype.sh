#!/bin/bash
#SBATCH --job-name=nova
#SBATCH --nodes=8
#SBATCH --exclusive
#SBATCH --gpus-per-node=8
module load cpe/23.12 craype-x86-trento craype-accel-amd-gfx90a PrgEnv-amd cray-hdf5-parallel
cd ${SLURM_SUBMIT_DIR}
srun --ntasks=64 --gpus-per-node=8 ./../bin/nova++ ../inputs/v1d.ini
