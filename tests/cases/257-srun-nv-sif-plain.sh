#!/bin/bash
#SBATCH --gres=gpu:1
#SBATCH --partition=gpu
#SBATCH --time=10:00:00
#SBATCH --ntasks=1
#SBATCH --mem=8000
#SBATCH --exclude=cuda00[1-8],pascal0[01-10],volta0[01-03]
cd $PWD
module purge
module load singularity
srun singularity exec --nv pytorch.sif python run_class2d.py --L 10 --tf 10 --seed0 0 --truncate
