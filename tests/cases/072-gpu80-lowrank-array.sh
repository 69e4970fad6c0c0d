#!/bin/bash
#SBATCH --job-name=crl_lowrank
#SBATCH --nodes=1
#SBATCH --ntasks=1
#SBATCH --mem-per-cpu=16G
#SBATCH --gres=gpu:1
#SBATCH --constraint=gpu80
#SBATCH --time 24:00:00
#SBATCH --array=0-2
SEEDS=(1000 1001 1002)
SEED=${SEEDS[$SLURM_ARRAY_TASK_ID]}
module purge
uv run train.py --env_id ant_big_maze --eval_env_id ant_big_maze_eval --critic_depth 16 --seed $SEED
