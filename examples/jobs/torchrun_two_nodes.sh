#!/bin/bash
# Trains on two nodes of eight GPUs each, one torchrun per node, NCCL between them.
#SBATCH --job-name=llm-16gpu
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=32
#SBATCH --time=2-00:00:00

module load cuda/12.4 nccl/2.21
export NCCL_DEBUG=WARN
head_node=$(hostname)
srun torchrun --nnodes="$SLURM_NNODES" --nproc-per-node=8 --rdzv-backend=c10d \
    --rdzv-endpoint="$head_node:29500" train.py --config llama-70b.yaml
