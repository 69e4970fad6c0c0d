#!/bin/bash
#SBATCH --job-name=npu-train
#SBATCH --partition=a320
#SBATCH --nodes=1
#SBATCH --cpus-per-task=8
#SBATCH --mem=32G
#SBATCH --gres=npu:2
#SBATCH --time=04:00:00
set -e
source /usr/local/Ascend/ascend-toolkit/set_env.sh
unset ASCEND_RT_VISIBLE_DEVICES
export OMP_NUM_THREADS=4
cd /data/project
.venv/bin/python train.py --config c.yaml
