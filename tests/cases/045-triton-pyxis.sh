#!/bin/bash
#SBATCH -p g40
#SBATCH --gres=gpu:1
#SBATCH --output="%x.out"
#SBATCH --job-name=triton
srun --container-image nvcr.io#nvidia/tritonserver:23.01-py3 --container-mounts=/data/store:/models \
  tritonserver --model-repository=/models
