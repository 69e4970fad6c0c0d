#!/bin/sh
#SBATCH --partition=GPUQ
#SBATCH --time=05:00:00
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=16
#SBATCH --gres=gpu:a100:1
#SBATCH --constraint=gpu40g
module purge
module load Anaconda3/2024.02-1
module load CUDA/12.1.1
conda activate nnUNet_env
export nnUNet_n_proc_DA=64
srun nnUNetv2_train 137 2d all
