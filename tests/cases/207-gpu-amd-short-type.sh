#!/bin/bash
#SBATCH -J vq8k
#SBATCH --gres=gpu:amd:1
#SBATCH -c 8
#SBATCH --mem=64G
#SBATCH -t 12:00:00
source env/bin/activate
python train_tokenizer.py --codebook 8192 --max_steps 12500 --batch_size 64
