#!/bin/bash
#SBATCH --gres=gpu:1
#SBATCH -t 1:00:00
export LD_LIBRARY_PATH=/usr/local/cuda/lib64:/opt/rocm/lib:$LD_LIBRARY_PATH
python main.py
