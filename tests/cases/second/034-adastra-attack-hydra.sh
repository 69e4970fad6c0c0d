#!/bin/bash
#SBATCH --constraint=MI250
#SBATCH --job-name=gcg_single_run
#SBATCH --nodes=1
#SBATCH --gpus-per-node=1
srun --ntasks-per-node=1 --cpus-per-task=8 -- python run_attacks.py \
  model=meta-llama/Meta-Llama-3.1-8B-Instruct \
  dataset=behaviors \
  attack=gcg
