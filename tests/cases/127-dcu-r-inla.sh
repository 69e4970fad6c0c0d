#!/bin/bash
#SBATCH --partition=test
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=8
#SBATCH --mem-per-cpu=2G
#SBATCH --time=1:00:00
#SBATCH --gres=dcu:1
module purge
module load compiler/dtk/23.10
module load rocm/5.3.3
source ~/miniconda3/etc/profile.d/conda.sh
conda activate INLA
Rscript fit.R --disease C81 --compound 1
