#!/bin/bash
#SBATCH -J serve
#SBATCH -N 1
#SBATCH --gres=gpu:8
#SBATCH --exclusive
#SBATCH -t 1-00:00:00
docker run --rm --device=/dev/kfd --device=/dev/dri --group-add video --ipc=host --shm-size 16G \
  -v /models:/models rocm/vllm:latest vllm serve /models/llama-70b -tp 8 --port 8000
