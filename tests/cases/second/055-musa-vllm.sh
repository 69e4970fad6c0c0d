#!/bin/bash
#SBATCH --gres=gpu:4
export VLLM_PLUGINS=musa,musa_custom_ops
export VLLM_WORKER_MULTIPROC_METHOD=spawn
MUSA_VISIBLE_DEVICES=0,1,2,3 vllm serve /models/Qwen3.5-35B --served-model-name q --tensor-parallel-size 4
