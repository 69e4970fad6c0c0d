#!/bin/bash
#SBATCH --partition=pvc
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=8
#SBATCH --gpus-per-node=4
module purge
module load default-dawn
module load intel-oneapi-compilers
module load intelpython-conda
module load intel-oneapi-ccl
conda activate matsciml
export ZE_FLAT_DEVICE_HIERARCHY=FLAT
export CCL_ZE_IPC_EXCHANGE=sockets
mpirun -n 8 python xpu_ddp_mpi.py
