#!/bin/bash
#SBATCH -J pre
#SBATCH -N 1
#SBATCH --gres=npu:Ascend910B3:8
#SBATCH -c 96
source /usr/local/Ascend/ascend-toolkit/set_env.sh
export PYTORCH_NPU_ALLOC_CONF=expandable_segments:True
torchrun --nproc_per_node=8 pretrain_gpt.py --tensor-model-parallel-size 8 --train-iters 5000
