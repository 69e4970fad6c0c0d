#!/bin/bash
#SBATCH -c 10
#SBATCH --mem 100g
#SBATCH --gres=gpu:1
#SBATCH -t 3-00:00
source ~/.bashrc
conda activate esm_env
cd foldingdiff
python bin/predict.py --cuda cuda:0 --pkl-file ckpts/iter.pkl --auto
