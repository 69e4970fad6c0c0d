#!/bin/bash
#SBATCH --job-name=DAC
#SBATCH --nodes=1
#SBATCH --ntasks=1
#SBATCH --gres=gpu:1
#SBATCH --mem=8G
#SBATCH --constraint=gmem24
nvidia-smi
source ~/.bashrc
conda activate mic
python3 train.py --config config.json
