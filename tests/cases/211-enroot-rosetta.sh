#!/bin/bash
#SBATCH -J process
#SBATCH --gpus=1
#SBATCH -c 16
#SBATCH -t 2:00:00
NAME="process_${SLURM_JOB_ID}"
enroot create --name "$NAME" image.sqsh
enroot start --root --mount "$PWD:/workspace" "$NAME" bash -lc "
  set -euo pipefail
  pip3 install scikit-learn --quiet
  python3 /workspace/process_results.py"
enroot remove -f "$NAME"
