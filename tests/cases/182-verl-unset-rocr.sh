#!/bin/bash
#SBATCH --partition=plm
#SBATCH --job-name=flow
#SBATCH --nodes=1
#SBATCH --gres=gpu:8
#SBATCH --cpus-per-task=64
unset ROCR_VISIBLE_DEVICES
echo "Job ID: $SLURM_JOB_ID"
export RAY_TMPDIR=/tmp/rt
mkdir -p "$RAY_TMPDIR"
nvidia-smi
bash recipe/train_qwen2.5_7b_math.sh
