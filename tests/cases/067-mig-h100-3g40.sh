#!/bin/bash
#SBATCH --job-name=vmc
#SBATCH --time=00:30:00
#SBATCH --cpus-per-task=8
#SBATCH --mem=64G
#SBATCH --gpus-per-node=nvidia_h100_80gb_hbm3_3g.40gb:1
set -euo pipefail
cd /scratch/vmc
source env/bin/activate
python run_vmc.py --config n2.yml
