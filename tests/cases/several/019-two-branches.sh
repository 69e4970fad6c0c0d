#!/bin/bash
#SBATCH --gres=gpu:1
#SBATCH -t 1:00:00
case $(hostname) in
  a*) module load rocm ;;
  *) module load cuda ;;
esac
python main.py
