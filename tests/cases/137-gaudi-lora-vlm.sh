#!/bin/bash
#SBATCH -J vlm
#SBATCH -N 1
#SBATCH --gres=gpu:8
#SBATCH -c 64
PT_HPU_LAZY_MODE=1 python ../gaudi_spawn.py --world_size 8 --use_mpi run_lora_vlm.py \
  --model_name_or_path google/gemma-3-12b-it --dataset_name ChartQA --num_train_epochs 5 \
  --do_train --do_eval --gaudi_config_name Habana/gpt2 --use_habana --output_dir out
