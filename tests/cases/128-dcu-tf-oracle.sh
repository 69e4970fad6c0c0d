#!/bin/bash
#SBATCH --job-name=oracle_training
#SBATCH --partition=test
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --gres=dcu:1
#SBATCH --output=%j.out
#SBATCH --time=24:00:00
module load anaconda3
conda activate tf_env
python ./predicts/train.py
