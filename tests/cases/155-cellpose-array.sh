#!/bin/bash
#SBATCH -J cp
#SBATCH --array=1-96
#SBATCH --gres=gpu:1
#SBATCH -c 4
#SBATCH --mem=16G
source activate cellpose
python -m cellpose --dir plates/p${SLURM_ARRAY_TASK_ID} --pretrained_model cyto3 --use_gpu --save_tif --verbose
