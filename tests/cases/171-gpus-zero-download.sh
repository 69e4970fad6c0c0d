#!/bin/bash
#SBATCH --job-name=download
#SBATCH --partition=cpu
#SBATCH --time=1-00:00:00
#SBATCH --mem=64GB
#SBATCH --cpus-per-task=16
#SBATCH --gpus=0
uv run src/datasets/download.py
