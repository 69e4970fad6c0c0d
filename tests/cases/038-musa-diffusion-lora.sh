#!/bin/bash
#SBATCH -J lora
#SBATCH -N 1
#SBATCH --gres=gpu:8
#SBATCH -c 48
MUSA_VISIBLE_DEVICES=0,1,2,3,4,5,6,7 accelerate launch train_text_to_image_lora.py \
  --mixed_precision=fp16 --pretrained_model_name_or_path=./sd-v1-5 \
  --train_data_dir=./images --train_batch_size=1 --num_train_epochs=100
