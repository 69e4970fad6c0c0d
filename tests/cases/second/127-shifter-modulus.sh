#!/bin/bash
#SBATCH -C gpu
#SBATCH -n 1
#SBATCH --gpus-per-task=1
#SBATCH --image=nvcr.io/nvidia/modulus/modulus:24.01
shifter python create_val_v2.py 'E3SM.nc' --save_path /scratch/v2
