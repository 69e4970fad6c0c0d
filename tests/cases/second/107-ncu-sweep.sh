#!/bin/bash
#SBATCH --partition=booster
#SBATCH --nodes=1
#SBATCH --gpus-per-task=1
#SBATCH --disable-dcgm
set -euo pipefail
for b in 1 2 4; do
  srun ncu --set full -o prof_$b ./bench --batch $b
done
