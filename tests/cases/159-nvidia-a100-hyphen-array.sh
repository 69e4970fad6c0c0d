#!/bin/bash
#SBATCH --job-name=nnunet_training
#SBATCH --time=1080
#SBATCH --nodes=1
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=7
#SBATCH --mem-per-cpu=60G
#SBATCH -G nvidia-a100:1
#SBATCH --array=0-4
source venv/bin/activate
export nnUNet_preprocessed=/data/prep
nnUNetv2_train 501 3d_fullres $SLURM_ARRAY_TASK_ID
