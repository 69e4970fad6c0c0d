#!/bin/bash
#SBATCH --partition=dev-g
#SBATCH --time=00:30:00
#SBATCH --gres=gpu:1
#SBATCH --job-name=pmx
module load pmx
git clone https://example.org/tools.git
papermill tools/ligand.ipynb out.ipynb
