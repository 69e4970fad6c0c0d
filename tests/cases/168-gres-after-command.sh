#!/bin/bash
#SBATCH -J job
#SBATCH -t 1:00:00
cd $HOME/run
#SBATCH --gres=gpu:1
module load cuda
python main.py
