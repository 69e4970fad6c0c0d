#!/bin/bash
#SBATCH --job-name=crab
#SBATCH --nodes=256
#SBATCH --ntasks-per-node=32
#SBATCH --gpus-per-node=8
#SBATCH --exclusive
source /pfs/CRAB/.venv/bin/activate
/pfs/CRAB/.venv/bin/python /pfs/CRAB/cli.py --worker --workdir ./data
