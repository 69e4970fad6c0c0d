#!/bin/bash
#SBATCH --gres=gpu:1
#SBATCH -t 1:00:00
export LD_LIBRARY_PATH=/public/software/compiler/rocm/dtk-24.04/lib:$LD_LIBRARY_PATH
python main.py
