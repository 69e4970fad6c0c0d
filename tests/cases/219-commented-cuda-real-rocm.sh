#!/bin/bash
#SBATCH --gpus-per-node=4
#SBATCH -c 32
#SBATCH -t 2:00:00
#module load cuda/12.1
#export CUDA_HOME=/usr/local/cuda
module load rocm/6.2
echo "CUDA devices: not here"
source venv/bin/activate
python run_inference.py --prompts prompts.jsonl
