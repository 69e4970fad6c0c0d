#!/bin/bash
#SBATCH --gres=gpu:1
#SBATCH -t 1:00:00
pixi run -e cuda python train.py
