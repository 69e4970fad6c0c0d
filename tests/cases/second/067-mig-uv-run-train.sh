#!/bin/bash
#SBATCH --job-name=habitat
#SBATCH --partition=A100
#SBATCH --gres=gpu:3g.40gb:1
export HF_HUB_OFFLINE=1
UV=~/.local/bin/uv
$UV run scripts/train.py --train-file data/train.json --output-dir out "$@"
