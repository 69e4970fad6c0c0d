#!/bin/bash
#SBATCH --gres=gpu:1
#SBATCH -c 8
#SBATCH --array=0-11%3
export XLA_PYTHON_CLIENT_PREALLOCATE=false
export XLA_PYTHON_CLIENT_MEM_FRACTION=.60
source .venv/bin/activate
python -m reppo.train_brax env=CartpoleBalance seed=$SLURM_ARRAY_TASK_ID
