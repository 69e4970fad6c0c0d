#!/bin/bash
#SBATCH --job-name=boltz
#SBATCH --time=02:00:00
#SBATCH --partition=gpu-guest
#SBATCH --gres=gpu:rtx5000:1
#SBATCH --nodes=1
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=8
module purge
module load boltz2
boltz predict prot.yaml --use_msa_server --num_workers 8 --out_dir out
