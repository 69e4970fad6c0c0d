#!/bin/bash
#SBATCH --partition=pvc
#SBATCH --nodes=1
#SBATCH --gres=gpu:4
#SBATCH --time=00:20:00
#SBATCH --exclusive
module load intelpython-conda
conda activate pytorch-gpu
python -c 'import torch; import intel_extension_for_pytorch as ipex; print(torch.xpu.device_count())'
