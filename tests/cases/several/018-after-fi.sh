#!/bin/bash
#SBATCH --gres=gpu:1
#SBATCH -t 1:00:00
if [ -n "$A" ]; then
  echo a
fi
if [ -n "$B" ]; then
  module load cuda
fi
module load neuware
python main.py
