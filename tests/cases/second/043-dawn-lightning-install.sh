#!/bin/bash
#SBATCH --job-name=install
#SBATCH --partition=pvc9
#SBATCH --nodes=1
#SBATCH --gres=gpu:1
module purge
module load rhel9/default-dawn
module load intel-oneapi-ccl/2021.15.0
python -m venv --system-site-packages lightning-venv
pip install --upgrade pip
pip install deepspeed lightning[extra]
