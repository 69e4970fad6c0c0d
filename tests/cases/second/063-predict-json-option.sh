#!/bin/bash
#SBATCH --gres=gpu:2
#SBATCH --constraint="a100|h100|h200"
#SBATCH --job-name=fed_predict
#SBATCH --nodes=1
pip install -e .
cd src/finetuning
python predict_json.py --model llama31 --train_ds now --test_ds fed --ckpt checkpoint-600 --gpu a100 --reuse
