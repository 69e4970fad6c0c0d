#!/bin/bash
#SBATCH -J ollama
#SBATCH --gres=gpu:1
#SBATCH -c 8
#SBATCH -t 8:00:00
PORT=11434
unset ROCR_VISIBLE_DEVICES
apptainer instance start --nv --writable-tmpfs --bind /data/models ollama.sif oll
apptainer exec --env OLLAMA_HOST="0.0.0.0:$PORT" instance://oll ollama serve
