#!/bin/bash
#SBATCH --gres=gpu:1
#SBATCH -t 1:00:00
pip install -U "jax[cuda12]"
python train.py
