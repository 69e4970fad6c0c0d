#!/bin/bash
#SBATCH --job-name=data_salvage
#SBATCH --partition=dev-g
#SBATCH --nodes=1
#SBATCH --gpus-per-node=1
module load pytorch
source ../.venv/bin/activate
srun python3 ../src/salvage_low_quality_data.py --model-path="../models/clf" --data-path=1.jsonl.zst --filter
