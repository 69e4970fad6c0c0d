#!/bin/bash
#SBATCH --job-name=testo
#SBATCH --nodes=1
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=8
#SBATCH --gres=gpu:1
#SBATCH --mem=32G
#SBATCH --time=00:10:00
module load cs/ollama
module load devel/cuda/12.2
PORT=$((11434 + (SLURM_JOB_ID % 1000)))
export OLLAMA_HOST="127.0.0.1:$PORT"
ollama serve > ollama.log 2>&1 &
sleep 5
python ask.py --port $PORT
