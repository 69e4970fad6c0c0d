#!/bin/bash
#SBATCH -J hetserve
#SBATCH -N 1 -n 1 --gres=gpu:a100:4 -t 2:00:00
#SBATCH hetjob
#SBATCH -N 2 --ntasks-per-node=32
srun --het-group=0 vllm serve /models/m -tp 4 &
srun --het-group=1 python client.py
