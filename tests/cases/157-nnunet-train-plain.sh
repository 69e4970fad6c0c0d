#!/bin/sh
#SBATCH --partition=GPUQ
#SBATCH --time=00:30:00
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --gres=gpu:1
#SBATCH --cpus-per-task=16
#SBATCH --mem=16G
cd ${SLURM_SUBMIT_DIR}/
module purge
module load Anaconda3/2024.02-1
conda activate nnunet_env
set nnUNet_raw=./data/raw/
srun nnUNetv2_train 137 3d_fullres 0 -tr nnUNetTrainerUMambaBot
