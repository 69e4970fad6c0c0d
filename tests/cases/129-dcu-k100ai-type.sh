#!/bin/bash
#SBATCH -J vllm
#SBATCH -N 1
#SBATCH --gres=gpu:K100_AI:8
#SBATCH -c 64
#SBATCH -t 2-0
source /opt/dtk-25.04/env.sh
hy-smi
python -m vllm.entrypoints.openai.api_server --model /models/qwen-72b --tensor-parallel-size 8 --dtype float16
