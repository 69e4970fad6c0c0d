#!/bin/sh
#SBATCH --job-name=example_job
#SBATCH --time=0-02:30:00
#SBATCH --partition=GPUQ
#SBATCH --gres=gpu:1
#SBATCH --constraint="gpu80g"
#SBATCH --mem=100G
#SBATCH --nodes=1
WORKDIR=${SLURM_SUBMIT_DIR}
cd ${WORKDIR}
echo "Running from: $SLURM_SUBMIT_DIR"
python main.py
