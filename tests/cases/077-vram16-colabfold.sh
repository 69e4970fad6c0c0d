#!/bin/bash
#SBATCH --partition=gpu
#SBATCH --constraint=vram16
#SBATCH --gpus-per-node=1
#SBATCH --cpus-per-gpu=8
#SBATCH --mem-per-gpu=40G
#SBATCH --time=05:00:00
module load cudnn/cuda11-8.4.1.50
module load cuda/11.4.0
module load conda/latest
conda activate colabfold
colabfold_batch seqs.fasta out --stop-at-score 85
