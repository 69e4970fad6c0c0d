#!/bin/bash
#SBATCH --job-name=rec_eval
#SBATCH --partition=gpu
#SBATCH --nodes=1
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=8
#SBATCH --gres=gpu:1
#SBATCH --constraint=vram80
#SBATCH --mem=32G
#SBATCH --time=08:00:00
module load conda/latest
conda activate rec
export HF_HOME=/project/hf_cache
export PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True
python evaluate.py --base_model qwen-7b --checkpoint results/finetuned --test_data data/test.json
