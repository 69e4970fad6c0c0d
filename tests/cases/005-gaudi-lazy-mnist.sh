#!/bin/bash
#SBATCH -p gaudi
#SBATCH -N 1
#SBATCH -c 8
#SBATCH --gres=gpu:hl225:1
#SBATCH --mem=30G
#SBATCH -t 0-00:30:00
hl-smi
export PT_HPU_LAZY_MODE=1
export PYTHONUNBUFFERED=1
mamba run -n gaudi-pytorch python mnist_train.py --epochs 5 2>&1 | tee mnist.log
