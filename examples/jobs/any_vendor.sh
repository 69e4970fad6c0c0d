#!/bin/bash
# Portable PyTorch training in a container with a build for every vendor: runs anywhere.
#SBATCH --job-name=portable
#SBATCH --gpus=1
#SBATCH --cpus-per-task=8
#SBATCH --time=02:00:00
#HET vendors=any

accelerate launch train.py --config resnet50.yaml
