#!/bin/bash
#SBATCH -o logs/slurm-%j.out
#SBATCH --gres=gpu:a6000:1
#SBATCH --cpus-per-task=32
#SBATCH --time=2-0
source ~/.bashrc
source activate llm
MODEL_NAME="org/model-1b"
accelerate launch --config_file eval.yaml -m lm_eval --model hf \
    --model_args pretrained=$MODEL_NAME,dtype=bfloat16 \
    --tasks gsm8k_cot --output_path results --batch_size 4
