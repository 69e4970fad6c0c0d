#!/bin/bash
#SBATCH --job-name=healthcheck
#SBATCH --nodes=1
#SBATCH --cpus-per-task=48
#SBATCH --mem=100G
#SBATCH --gres=gpu:mi300a:1
#SBATCH --time=01:00:00
#SBATCH --array=0-3
module load rocm/6.4.0
source "$HOME/miniconda3/etc/profile.d/conda.sh"
conda activate gpu-healthchecks
python benchmark_gpus.py -H $HOSTNAME
