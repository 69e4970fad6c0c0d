#!/bin/bash
#SBATCH -J acc
#SBATCH -N 1
#SBATCH --gres=hpu:8
#SBATCH -t 6:00:00
PT_HPU_LAZY_MODE=1 \
VLLM_SKIP_WARMUP=true \
PT_HPU_ENABLE_LAZY_COLLECTIVES=true \
lm_eval --model vllm-vlm --tasks chartqa \
  --model_args "pretrained=/models/llama4,tensor_parallel_size=8,max_model_len=4096"
