#!/bin/bash
#SBATCH -J tgi-server
#SBATCH --cpus-per-task=4
#SBATCH --gpus-per-task=1
#SBATCH --ntasks=1
#SBATCH --constraint=ampere
#SBATCH --mem=24G
#SBATCH --time=2:59:00
set -e
eval "$(~/bin/micromamba shell hook -s posix)"
micromamba create -y -p $SLURM_TMPDIR/env -c pytorch -c nvidia 'python=3.11' 'pytorch==2.0.1' 'pytorch-cuda=11.7'
micromamba activate $SLURM_TMPDIR/env
text-generation-server download-weights $MODEL_ID
text-generation-launcher --model-id $MODEL_ID --port 8080
