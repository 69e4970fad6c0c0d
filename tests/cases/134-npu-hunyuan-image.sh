#!/bin/bash
#SBATCH -J img
#SBATCH --gres=npu:4
#SBATCH -N 1
export WORLD_SIZE=4
export TASK_QUEUE_ENABLE=2
export CPU_AFFINITY_CONF=1
export TOKENIZERS_PARALLELISM=false
torchrun --nproc_per_node=${WORLD_SIZE} run_image_gen_tp.py --model-id /weights/HunyuanImage --prompt "a dog on the grass" --image-size 512x512
