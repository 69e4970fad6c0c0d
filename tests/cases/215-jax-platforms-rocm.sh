#!/bin/bash
#SBATCH --gres=gpu:1
#SBATCH -c 8
#SBATCH -t 12:00:00
export JAX_PLATFORMS="rocm,cpu"
export XLA_PYTHON_CLIENT_PREALLOCATE=false
export HSA_OVERRIDE_GFX_VERSION=10.3.0
python train_agent.py --total-timesteps 1e8
