#!/bin/bash
#SBATCH --nodes 1
#SBATCH --ntasks-per-node=8
#SBATCH --gpus-per-task=1
export PYTHONFAULTHANDLER=1
export CUDA_LAUNCH_BLOCKING=0
export WORLD_SIZE=4
export CUDA_VISIBLE_DEVICES=0,1
torchrun --standalone --nproc_per_node=gpu train/finetuning.py --lm_path m --tokenizer_path m
