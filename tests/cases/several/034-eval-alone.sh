#!/bin/bash
#SBATCH --gres=gpu:1
#SBATCH -t 1:00:00
lm_eval --model hf --tasks mmlu
