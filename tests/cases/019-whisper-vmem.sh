#!/bin/bash
#SBATCH --job-name=whisper
#SBATCH -c 8
#SBATCH --mem=16g
#SBATCH --time=3-0
#SBATCH --gres=gpu:1,vmem:16g
source /opt/anaconda3/etc/profile.d/conda.sh
conda activate asr
module load cuda/11.7
module load cudnn
python prepare_datasets.py transcribe interviews ${SLURM_ARRAY_TASK_ID} 30
