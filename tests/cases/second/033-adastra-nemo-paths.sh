#!/bin/bash
#SBATCH --job-name=case
#SBATCH --constraint=MI250
#SBATCH --nodes=1
#SBATCH --gpus-per-node=1
module purge
export ROCM_PATH="/opt/rocm-7.2.0"
export LD_LIBRARY_PATH=${ROCM_PATH}/lib:${LD_LIBRARY_PATH}
export OMP_NUM_THREADS=1
srun ./nemo.exe
