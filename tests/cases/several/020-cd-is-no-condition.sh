#!/bin/bash
#SBATCH --gres=gpu:1
#SBATCH -t 1:00:00
nvidia-smi
cd $SLURM_SUBMIT_DIR && module load rocm && python main.py
