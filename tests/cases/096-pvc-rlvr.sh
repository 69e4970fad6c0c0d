#!/bin/bash
#SBATCH --job-name=rlvr
#SBATCH --time=24:00:00
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=32
#SBATCH --mem=256G
#SBATCH --gres=gpu:pvc:8
#SBATCH --partition=pvc
set -x
export MASTER_ADDR=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
module load GCCcore/13.3.0 Python/3.12.3
source venv/bin/activate
torchrun --nproc_per_node 8 train_grpo.py --config baseline.yaml
