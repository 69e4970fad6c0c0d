#!/usr/bin/env bash
#SBATCH -J dask-client
#SBATCH -t 00:10:00
#SBATCH --partition gpu
#SBATCH --gres=gpu
#SBATCH --nodes 1
module load cuda-11.0
module load anaconda3
conda activate rapids-21.06
python3 test_cudf.py
