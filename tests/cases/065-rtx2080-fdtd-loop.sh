#!/bin/bash
#SBATCH --gres=gpu:rtx_2080_ti:1
#SBATCH --output=radii.txt
#SBATCH -p skylake
#SBATCH -t 0:20:00
for RADIUS in 2 4 6; do
  srun -o radii.txt --open-mode=append ./fdtd --radius=$RADIUS
done
