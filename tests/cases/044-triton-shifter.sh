#!/usr/bin/env bash
#SBATCH --nodes=1
#SBATCH --time=01:00:00
#SBATCH --constraint=gpu
#SBATCH --qos=regular
IMAGE=nvcr.io/nvidia/tritonserver:24.11-py3
CONTAINER_CMD="shifter --module=gpu --image=$IMAGE"
export CONTAINER_CMD
srun --ntasks-per-node=4 --gpus-per-task=1 --cpus-per-task=32 \
  bash -c '$CONTAINER_CMD tritonserver --model-repository=models --http-port $((8000+SLURM_LOCALID*10))'
