#!/bin/bash
#SBATCH --gres=gpu:1
#SBATCH -t 1:00:00
nvidia-smi
[ -d /opt/rocm ] && export LD_LIBRARY_PATH=/opt/rocm/lib:$LD_LIBRARY_PATH
python main.py
