#!/bin/bash
#SBATCH --job-name=doe-16gpu
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gres=gpu:amd_instinct_mi355_oam:8
#SBATCH --time=02:00:00
export RAY_SCALE=16
srun ray symmetric-run --address $HEAD:6379 -- python run_doe.py --trials 48
