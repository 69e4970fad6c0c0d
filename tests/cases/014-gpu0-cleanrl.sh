#!/bin/sh
#SBATCH --time=6:00:00
#SBATCH --cpus-per-task=16
#SBATCH --gres=gpu:0
#SBATCH --partition=performance
#SBATCH --output=out/ppo-%A_%a.out
.venv/bin/python ppo_train.py --num_envs 16
