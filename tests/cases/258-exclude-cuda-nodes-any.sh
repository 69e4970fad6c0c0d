#!/bin/bash
#SBATCH --gres=gpu:1
#SBATCH --time=10:00:00
#SBATCH --ntasks=1
#SBATCH --mem=8000
#SBATCH --exclude=cuda00[1-8],gpuc00[1-2]
module purge
source env/bin/activate
srun python run_class2d.py --L 10 --tf 10
