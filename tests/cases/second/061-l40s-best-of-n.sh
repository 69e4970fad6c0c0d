#!/bin/bash
#SBATCH --partition=long
#SBATCH --gres=gpu:l40s:1
module load anaconda
conda activate e
unset CUDA_VISIBLE_DEVICES
python3 main_gsm8k.py search_algorithm=$mode
