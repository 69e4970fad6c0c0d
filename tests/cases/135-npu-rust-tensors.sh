#!/bin/bash
#SBATCH --job-name=tensor-study
#SBATCH --gres=npu:2
#SBATCH --nodes=1
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=1
#SBATCH --time=00:10:00
source /usr/local/Ascend/cann-8.5.0/set_env.sh
set -euo pipefail
mkdir -p results
npu-smi info > results/meta.txt
./tensor_study | tee results/study.csv
