#!/bin/bash
#SBATCH --nodes=1
#SBATCH --cpus-per-task=8
#SBATCH --mem=32G
#SBATCH --time=1-24:00:00
#SBATCH --partition=gpu
#SBATCH --gres=gpu:rtx_2080_Ti:1
#SBATCH --job-name=bgru
module load tensorflow-gpu/1.14.1/u16-cuda10.0-libcudnn7.4-py36
cd src
tf-gpu python bgru_train.py --seed $1
