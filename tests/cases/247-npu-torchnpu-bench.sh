#!/bin/bash
#SBATCH --gres=gpu:1
#SBATCH -c 8
#SBATCH -t 0:05:00
source activate npu
python - <<'PY'
import torch, torch_npu
x = torch.randn(4096, 4096).npu()
print((x @ x).sum().item())
PY
