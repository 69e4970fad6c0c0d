#!/bin/bash
# Trains on four Hygon DCUs (DTK).
#SBATCH --job-name=bert-dcu
#SBATCH --gres=dcu:4
#SBATCH --cpus-per-task=16
#SBATCH --time=06:00:00

module load dtk/24.04
torchrun --standalone --nproc-per-node=4 train.py
