#!/bin/bash
#SBATCH --gres=gpu:1
#SBATCH -c 8
#SBATCH -t 4:00:00
env -u HSA_OVERRIDE_GFX_VERSION ROCM_PATH=/opt/rocm-7.1.1 HIP_VISIBLE_DEVICES=0 \
  PATH=/opt/rocm-7.1.1/bin:$PATH \
  .venv/bin/python scripts/train_jepa.py --epochs 30
