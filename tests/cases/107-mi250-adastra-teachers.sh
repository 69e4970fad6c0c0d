#!/bin/bash
#SBATCH --nodes=1
#SBATCH --constraint=MI250
#SBATCH --job-name=CalibTeachers
#SBATCH --time=02:00:00
#SBATCH --exclusive
#SBATCH --mem=0
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=64
source env/bin/activate
export OMP_NUM_THREADS=8
export MIOPEN_USER_DB_PATH="/tmp/miopen-${SLURM_JOB_ID}"
export MIOPEN_CUSTOM_CACHE_DIR="$MIOPEN_USER_DB_PATH"
srun python evaluate_teachers.py --split calib --ckpt teachers/
