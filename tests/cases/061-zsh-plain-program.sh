#!/bin/zsh
#SBATCH -n 1
#SBATCH -t 240
#SBATCH -A climate
#SBATCH --gres=gpu:2
module load python/anaconda3
date
program="heatflux.py"
python ./$program
date
