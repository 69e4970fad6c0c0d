#!/bin/bash
#SBATCH --gres=gpu:1
#SBATCH -t 1:00:00
source /usr/local/Ascend/ascend-toolkit/set_env.sh 2>/dev/null || true
nvidia-smi
python main.py --device cuda
