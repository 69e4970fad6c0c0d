#!/bin/bash
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=4
#SBATCH --gpus-per-task=1
#SBATCH --mem=40G
#SBATCH --time=3:00:00
#SBATCH --container-mounts=/data:/data
#SBATCH --container-image="registry.local#team/monai:v1.3"
#SBATCH --qos=low
python3 /data/seg/inference.py --model_id $1 --mc_samples $2
