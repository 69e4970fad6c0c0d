#!/bin/bash
#SBATCH -p gpu
#SBATCH -C h100
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=4
#SBATCH --gpus-per-node=4
PYTHON=/opt/conda/bin/python
export XLA_PYTHON_CLIENT_PREALLOCATE=false
srun $PYTHON run_hmc_stage.py --nchains 4
