#!/bin/bash
#SBATCH --gres=gpu:1
#SBATCH -t 1:00:00
docker run --gpus all ghcr.io/huggingface/text-generation-inference:3.0 --model-id x/y
