#!/bin/bash
#SBATCH --job-name=my_notebook
#SBATCH --nodes=1
#SBATCH --gpus=1
#SBATCH --constraint=gpu_mem_32
module load gcc apptainer
APPTAINER_DIR=/home/me/envs/hymba.sif
apptainer exec --nv --fakeroot --home /scratch/me $APPTAINER_DIR ./apptainer_exec/generate.sh
