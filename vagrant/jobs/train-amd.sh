#!/bin/bash
#SBATCH --job-name=train-amd --gres=gpu:2 --time=5 --output=/dev/null
module load rocm 2>/dev/null
sleep "${1:-20}"
