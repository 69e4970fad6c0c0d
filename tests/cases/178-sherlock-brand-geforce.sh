#!/bin/bash
#SBATCH -J gen_kin
#SBATCH -p gpu
#SBATCH -c 8
#SBATCH -N 1
#SBATCH -G 1
#SBATCH -t 00:30:00
#SBATCH --mem=24GB
#SBATCH -C "GPU_BRD:GEFORCE&GPU_MEM:24GB"
module load py-pytorch/2.0.0_py39
source venvs/env/bin/activate
python3 gen_5k.py
