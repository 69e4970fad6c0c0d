#!/bin/bash
#SBATCH --gpus-per-node=GA100:1
#SBATCH --constraint=gpu_mem_80
#SBATCH --time=15:00:00
nvidia-smi
CONTAINER=vllm-openai_v0.8.4
srun --container-image=$CONTAINER --container-mounts=/w:/w python3 /w/extract_corr.py --n 10
