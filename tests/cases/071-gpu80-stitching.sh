#!/bin/bash
#SBATCH -t 8:00:00
#SBATCH -N 1
#SBATCH -n 8
#SBATCH --mem=400GB
#SBATCH --gres=gpu:1
#SBATCH --constraint=gpu80
module load cudatoolkit/12.2
module load anaconda3/2023.3
conda activate stitching
python -u $1 --output_dir $2 --no_render
