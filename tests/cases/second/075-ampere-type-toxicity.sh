#!/bin/bash
#SBATCH --job-name=toxicity_analysis
#SBATCH --gres=gpu:ampere:1
#SBATCH --mem=32G
#SBATCH --container-image=registry.example/toxicity:0.0.1
srun python3 main.py
