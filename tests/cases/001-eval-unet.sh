#!/bin/bash -l
#SBATCH --job-name=eval_seg
#SBATCH --partition=gpu
#SBATCH --qos=default
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-task=1
#SBATCH --cpus-per-task=16
#SBATCH --time=0:15:00
module load Python/3.11.10-GCCcore-13.3.0
module load PyTorch/2.3.0-foss-2024a-CUDA-12.6.0
source env/bin/activate
export CUDA_VISIBLE_DEVICES=0
python -u src/eval_seg.py --weights weights/best --val_csv data/val.csv --batch_size 64
