#!/bin/bash
#SBATCH --job-name=esm
#SBATCH --time=24:00:00
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=5
#SBATCH --gres=gpu:a30:1
#SBATCH --partition=paula
~/micromamba/envs/esmfold/bin/python esmfold.py all.fasta
