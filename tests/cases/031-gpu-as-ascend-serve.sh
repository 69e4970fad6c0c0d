#!/bin/bash
#SBATCH -J serve
#SBATCH -N 1
#SBATCH --gres=gpu:8
#SBATCH -t 3-0
export OMP_PROC_BIND=false
export PYTORCH_NPU_ALLOC_CONF=expandable_segments:True
export HCCL_BUFFSIZE=1024
export HCCL_OP_EXPANSION_MODE=AIV
vllm serve /models/qwen --tensor-parallel-size 8 --max-model-len 32000 --port 8000
