#!/bin/bash
#SBATCH -J video
#SBATCH --gres=gpu:1
#SBATCH -c 24
#SBATCH -t 6:00:00
ASCEND_RT_VISIBLE_DEVICES=0 \
VLLM_WORKER_MULTIPROC_METHOD=spawn \
vllm serve /models/video --omni --host 0.0.0.0 --port 8000 --tensor-parallel-size 1
