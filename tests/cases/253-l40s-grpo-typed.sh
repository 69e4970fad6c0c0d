#!/bin/bash
#SBATCH -p general
#SBATCH -J grpo
#SBATCH -N 1
#SBATCH -t 0-24:00:00
#SBATCH --ntasks-per-node=1
#SBATCH --gres=gpu:L40S:8
#SBATCH --cpus-per-task=96
#SBATCH --mem=512GB
#SBATCH --overcommit
apptainer exec --bind $PWD:/openrlhf rl.sif python -m openrlhf.cli.train_grpo --pretrain /models/llama-8b
