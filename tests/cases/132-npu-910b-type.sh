#!/bin/bash
#SBATCH -J sft
#SBATCH -N 1
#SBATCH --gres=gpu:910b:8
#SBATCH -c 96
source /usr/local/Ascend/ascend-toolkit/set_env.sh
export ASCEND_RT_VISIBLE_DEVICES=0,1,2,3,4,5,6,7
export HCCL_CONNECT_TIMEOUT=3600
torchrun --nproc_per_node=8 src/train.py examples/qwen_lora_sft.yaml
