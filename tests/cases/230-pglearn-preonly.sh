#!/bin/bash
#SBATCH -J pre
#SBATCH -t 01:00:00
#SBATCH -q debug
#SBATCH -N 1
#SBATCH --ntasks-per-node=8
#SBATCH --gpus-per-task=1
#SBATCH --gpu-bind=none
set -euo pipefail
source scripts/module-to-load-frontier-rocm713.sh
export LD_LIBRARY_PATH=${CRAY_LD_LIBRARY_PATH:-}:${LD_LIBRARY_PATH:-}
srun -n $SLURM_NTASKS python examples/grid/preprocess.py --preonly
