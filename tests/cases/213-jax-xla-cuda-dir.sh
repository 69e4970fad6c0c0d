#!/bin/bash
#SBATCH --gres=gpu:1
#SBATCH -c 4
#SBATCH -t 2:00:00
export XLA_FLAGS=--xla_gpu_cuda_data_dir=/opt/conda/lib
conda activate jx
python evaluate_model.py --trained $1 --mode $2 --data $3
