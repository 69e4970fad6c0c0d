#!/bin/bash --login
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=1
#SBATCH --mem=10G
#SBATCH --time=0:30:00
#SBATCH --partition=gpu_rocm
#SBATCH --gres=gpu:mi210:1
module load anaconda3/2022.05
source activate gpu_env
srun python train_vae.py
