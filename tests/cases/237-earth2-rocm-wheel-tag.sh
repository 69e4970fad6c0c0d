#!/bin/bash
#SBATCH -N 1
#SBATCH --gpus-per-node=1
#SBATCH -c 16
#SBATCH -t 1:00:00
ROCM_WHL_TAG=rocm7.2
for pkg in torch nvidia triton; do rm -rf pkgs/$pkg; done
apptainer exec --rocm --bind pkgs:/opt/pkgs pytorch_rocm7.2.sif \
  bash -c 'source /opt/venv/bin/activate && python3 forecast_stormcast.py --nsteps 12'
