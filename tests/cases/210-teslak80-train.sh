#!/bin/bash
#SBATCH --gres=gpu:teslak80:1
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=1
#SBATCH -p gpushort
#SBATCH --mem-per-cpu 8G
#SBATCH -t 00-04
python train.py --batch 32
