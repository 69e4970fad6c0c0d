#!/bin/bash
#SBATCH -N 1
#SBATCH --gres=gpu:1
export JAX_PLATFORMS=cpu
export JAX_ENABLE_X64=false
module load python
python postprocess.py
