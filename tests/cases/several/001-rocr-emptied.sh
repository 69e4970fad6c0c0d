#!/bin/bash
#SBATCH --gres=gpu:1
#SBATCH -t 1:00:00
nvidia-smi
export ROCR_VISIBLE_DEVICES=
export CUDA_VISIBLE_DEVICES=$SLURM_JOB_GPUS
python main.py --device cuda
