#!/bin/bash
#SBATCH -C h100
#SBATCH --nodes=1
#SBATCH --gres=gpu:4
deepspeed llava/train/train_mem.py \
    --lora_enable True --lora_r 16 --lora_alpha 64 --mm_projector_lr 2e-5 \
    --deepspeed ./scripts/zero3.json
