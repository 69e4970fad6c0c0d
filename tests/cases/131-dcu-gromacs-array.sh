#!/bin/bash
#SBATCH -p normal
#SBATCH -N 1
#SBATCH -n 1
#SBATCH -c 8
#SBATCH --gres=dcu:1
#SBATCH --mem-per-cpu=2500M
#SBATCH -t 06:00:00
#SBATCH --array=0-35%8
candidate=$((SLURM_ARRAY_TASK_ID / 3))
for stage in nvt50 nvt150 npt300; do
  gmx mdrun -deffnm c$candidate/$stage -ntomp 8 -nb gpu
done
