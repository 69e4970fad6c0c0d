#!/bin/bash
#SBATCH -J sft
#SBATCH -N 2
#SBATCH --ntasks-per-node=1
#SBATCH --gres=gpu:C500:8
#SBATCH -t 2-0
source /opt/maca/env.sh
mx-smi
export MASTER_ADDR=$(scontrol show hostnames $SLURM_JOB_NODELIST | head -n1)
srun torchrun --nnodes=2 --nproc_per_node=8 --rdzv_endpoint=$MASTER_ADDR:29500 sft.py --config qwen7b.yaml
