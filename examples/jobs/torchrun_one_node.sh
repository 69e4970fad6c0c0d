#!/bin/bash
# Trains a language model on the eight GPUs of one node, with CUDA.
#SBATCH --job-name=llm-8gpu
#SBATCH --nodes=1
#SBATCH --gres=gpu:8
#SBATCH --cpus-per-task=32
#SBATCH --mem=200G
#SBATCH --time=1-00:00:00

module load cuda/12.4
torchrun --standalone --nproc-per-node=8 train.py --config llama-8b.yaml
