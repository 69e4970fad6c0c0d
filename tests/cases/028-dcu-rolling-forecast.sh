#!/bin/bash
#SBATCH -J rolling
#SBATCH -p exclu01
#SBATCH -N 1
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=64
#SBATCH --gres=dcu:8
set -euo pipefail
source ~/miniconda3/etc/profile.d/conda.sh
conda activate torch2.4_dtk25.04
module load compiler/dtk/25.04
MODELS="${MODELS:-all}"
MAX_LEAD="${MAX_LEAD:-240}"
python rolling_forecast.py --models $MODELS --max-lead $MAX_LEAD --device auto
