#!/bin/bash
#SBATCH --job-name=interp
#SBATCH --gres=gpu:l40s:1
#SBATCH --time=0-01:00:00
source "$SLURM_SUBMIT_DIR/hpc_job_env.sh"
mkdir -p logs
python -c 'import torch; print(f"torch {torch.__version__}  device: {torch.cuda.get_device_name(0)}")'
PYTHONUNBUFFERED=1 python -u interpretability.py --run-name v3
