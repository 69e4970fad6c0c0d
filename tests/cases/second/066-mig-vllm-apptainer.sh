#!/bin/bash
#SBATCH --job-name=stream
#SBATCH --partition=batch_gpu
#SBATCH --gres=gpu:3g.40gb:1
#SBATCH --cpus-per-task=4
MODEL="Qwen/QwQ-32B-AWQ"
SIF=vllm.sif
apptainer exec --nv $SIF vllm serve "$MODEL" --max-model-len 16384 --gpu-memory-utilization 0.9
