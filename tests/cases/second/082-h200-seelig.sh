#!/bin/bash
#SBATCH -p priority_gpu
#SBATCH --gpus=1
#SBATCH -c 8
module load miniconda
conda activate tz
module load CUDA cuDNN
python seelig_activity.py wald_precomp
python seelig_activity.py metrics
