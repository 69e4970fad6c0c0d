#!/bin/bash
#SBATCH --gres=gpu:1
#SBATCH -t 1:00:00
if [ -d /opt/rocm ]; then
  module load rocm
fi
if [ -n "$X" ]; then
  echo x
fi
nvidia-smi
python main.py
