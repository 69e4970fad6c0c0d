#!/bin/bash
# Runs on two A100 or two MI300X, whichever are free: the code has builds for both.
#SBATCH --job-name=either
#SBATCH --gres=gpu:2
#SBATCH --constraint=a100|mi300x
#SBATCH --cpus-per-task=8
#SBATCH --time=03:00:00

accelerate launch --num_processes 2 train.py
