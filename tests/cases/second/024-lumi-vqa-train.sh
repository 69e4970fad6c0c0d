#!/bin/bash
#SBATCH --job-name=llama2
#SBATCH --partition=dev-g
#SBATCH --gpus-per-node=1
#SBATCH --time=3:00:00
module use /appl/local/csc/modulefiles/
module load pytorch
export PYTHONUSERBASE=/scratch/python_base
srun torchrun --nproc_per_node 1 train.py --model 7B --max_seq_len 256 --batch_size 8 --epochs 5 --is_generation_task
