#!/bin/bash
#SBATCH -C gpu
#SBATCH -t 6:00:00
#SBATCH -n 32
#SBATCH --gpus-per-task=1
#SBATCH -J LRT-sweep
eval "$(conda shell.bash hook)"
conda activate exa
for i in {0..31}; do
    srun --exact -u -n 1 -c 32 --mem-per-gpu=60G --gpus-per-task 1 wandb agent team/gnn/x &
done
wait
