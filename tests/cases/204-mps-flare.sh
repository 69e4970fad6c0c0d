#!/bin/bash
#SBATCH -J otf
#SBATCH -N 1
#SBATCH --ntasks-per-node=4
#SBATCH --gres=gpu:1
#SBATCH -t 20:00
export OMP_NUM_THREADS=12
source flare/bin/activate
nvidia-cuda-mps-control -d
flare-otf inputs.yaml
echo quit | nvidia-cuda-mps-control
