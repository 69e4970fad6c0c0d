#!/bin/bash
#SBATCH -J downstream
#SBATCH -p normal
#SBATCH -N 4
#SBATCH --cpus-per-task=8
#SBATCH --ntasks-per-node=4
#SBATCH --gres=gpu:4
module unload compiler/rocm/2.9
module load compiler/rocm/dtk-23.04.1
module load apps/miniconda/3
source activate lsd
export MASTER_PORT=$(expr 10000 + $(echo -n $SLURM_JOBID | tail -c 4))
export MASTER_ADDR=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
srun python -u main.py --mode train --pretrained l4500 --epochs 200
