#!/bin/sh
#SBATCH --job-name="umbrella"
#SBATCH --partition=GPU-shared
#SBATCH --gpus=v100-32:1
#SBATCH -n 5
#SBATCH -t 24:00:00
source ~/.bashrc
conda activate openmmtools
cd $SLURM_SUBMIT_DIR
python umbrella_equilibration.py $1 $2 $3
