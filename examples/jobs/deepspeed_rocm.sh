#!/bin/bash
# Fine-tunes with DeepSpeed on four AMD GPUs (ROCm).
#SBATCH --job-name=ft-rocm
#SBATCH --gres=gpu:4
#SBATCH --cpus-per-task=16
#SBATCH --time=08:00:00

module load rocm/6.2
deepspeed --num_gpus=4 finetune.py --deepspeed ds_zero3.json
