#!/bin/bash
# Serves a 7B model with vLLM; 24 GiB of a card are enough, the rest of it is left to others.
#SBATCH --job-name=vllm-7b
#SBATCH --gres=shard:24
#SBATCH --cpus-per-task=4
#SBATCH --mem=32G
#SBATCH --time=04:00:00

module load cuda/12.4
vllm serve Qwen/Qwen2.5-7B-Instruct --port 8000 --gpu-memory-utilization 0.5
