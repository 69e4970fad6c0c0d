#!/bin/bash
#SBATCH -c 4
#SBATCH --mem=40GB
#SBATCH -p gpu-preempt
#SBATCH -G 4
#SBATCH --constraint=vram40
#SBATCH --nodes=1
#SBATCH --time 8:00:00
module load conda/latest
conda activate ./env_cuda124
multipa-train --output_dir data/models/full --data_dir data/corpus --num_train_epochs 10 --use_gpu
