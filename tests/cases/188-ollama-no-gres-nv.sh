#!/bin/bash -l
#SBATCH --time=00:05:00
#SBATCH --qos=default
#SBATCH --partition=gpu
#SBATCH --nodes=1
#SBATCH --ntasks=1
module load Apptainer
apptainer pull docker://ollama/ollama
apptainer exec --nv ollama_latest.sif ollama serve
