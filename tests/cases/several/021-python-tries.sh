#!/bin/bash
#SBATCH --gres=gpu:1
#SBATCH -t 1:00:00
nvidia-smi
python - <<EOF
try:
    import torch_npu
except ImportError:
    torch_npu = None
EOF
python main.py --device cuda
