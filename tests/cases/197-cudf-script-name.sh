#!/bin/bash
#SBATCH --partition=gpu
#SBATCH --gpus=1
#SBATCH --job-name=cudf_gpu
#SBATCH --nodes=1
#SBATCH --cpus-per-task=1
#SBATCH --mem=100gb
#SBATCH --time=01:30:00
echo "Job id: ${SLURM_JOBID}"
module list
python 03.cudf.py
