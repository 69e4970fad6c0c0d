#!/bin/bash
#SBATCH --gres=gpu:1
#SBATCH -t 1:00:00
python - <<EOF
import torch
import torch_npu
EOF
