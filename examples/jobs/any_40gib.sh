#!/bin/bash
# Any GPU with at least 40 GiB, without naming a model.
#SBATCH --job-name=needs-40g
#SBATCH --gpus=1
#SBATCH --cpus-per-task=4
#SBATCH --time=02:00:00
#HET memory=40G scenario=inference

python evaluate.py --model qwen-14b
