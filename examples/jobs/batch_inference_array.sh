#!/bin/bash
# Six batch inference tasks of 8 GiB each, on whatever card has them: any vendor will do.
#SBATCH --job-name=embed-docs
#SBATCH --array=0-5
#SBATCH --gres=shard:8
#SBATCH --cpus-per-task=2
#SBATCH --mem=8G
#SBATCH --time=00:30:00
#HET vendors=any

python batch_infer.py --part "$SLURM_ARRAY_TASK_ID"
