#!/bin/bash
#SBATCH --exclusive
#SBATCH --partition=pvc
#SBATCH --nodes=2
#SBATCH --gres=gpu:4
#SBATCH --ntasks-per-node=8
export CCL_ZE_IPC_EXCHANGE=sockets
export ZE_FLAT_DEVICE_HIERARCHY=FLAT
module purge
module load default-dawn
module load intel-oneapi-compilers
module load intel-oneapi-mpi
module load intel-oneapi-ccl
conda activate matsci
srun python xpu_ddp_slurm.py
