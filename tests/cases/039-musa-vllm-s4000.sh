#!/bin/bash
#SBATCH -J chat
#SBATCH --gres=gpu:s4000:4
#SBATCH -c 32
#SBATCH -t 1-0
export MUSA_HOME=/usr/local/musa
export LD_LIBRARY_PATH=$MUSA_HOME/lib:$LD_LIBRARY_PATH
mthreads-gmi
python -m vllm.entrypoints.openai.api_server --model /models/qwen --device musa --tensor-parallel-size 4
