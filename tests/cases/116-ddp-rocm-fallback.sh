#!/bin/bash
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=2
#SBATCH --cpus-per-task=4
#SBATCH --gpus-per-node=2
#SBATCH --time=00:30:00
set -euo pipefail
export MASTER_ADDR=127.0.0.1
export MASTER_PORT=29500
if [[ "${USE_VENV:-0}" == "1" ]]; then
  source venv-pytorch/bin/activate
  srun python -u train_ddp.py --epochs 20
else
  srun apptainer exec --rocm --bind "$PWD:$PWD" --pwd "$PWD" /opt/shared/pytorch.sif python -u train_ddp.py --epochs 20
fi
