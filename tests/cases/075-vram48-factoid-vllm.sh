#!/bin/bash
#SBATCH --job-name=factoid-gen
#SBATCH --mem=64G
#SBATCH --partition=gpu
#SBATCH --gres=gpu:1
#SBATCH -t 8:00:00
#SBATCH --constraint=vram48
module load conda/latest
conda activate vllm_env
python -m src.factoid_generator --model_index 6 --topic_index 0
