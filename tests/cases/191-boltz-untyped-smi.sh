#!/bin/bash
#SBATCH --job-name=boltz_test
#SBATCH --time=02:00:00
#SBATCH --gres=gpu:1
#SBATCH --nodes=1
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=8
#SBATCH --mem=32G
module purge
module load boltz2
nvidia-smi
boltz predict inputs/run1 --use_msa_server --num_workers 4 --out_dir out --override
