#!/bin/bash
#SBATCH --partition=gputest
#SBATCH --nodes=1
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=10
#SBATCH --mem=64G
#SBATCH --time=15
#SBATCH --gres=gpu:v100:1,nvme:100
export OLLAMA_MODELS=/scratch/models
export PATH=/apps/ollama/bin:$PATH
ollama serve &
python3 chat_test.py
