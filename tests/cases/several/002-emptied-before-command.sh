#!/bin/bash
#SBATCH --gres=gpu:1
#SBATCH -t 1:00:00
nvidia-smi
ROCR_VISIBLE_DEVICES= HIP_VISIBLE_DEVICES='' python -m verl.trainer.main_ppo
