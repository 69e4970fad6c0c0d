#!/bin/bash
#SBATCH --job-name=bench_kk
#SBATCH --nodes=1
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=8
#SBATCH --gpus-per-node=1
#SBATCH --gpus-per-task=1
#SBATCH --gpu-bind=closest
#SBATCH --mem-per-cpu=8G
#SBATCH --time=0:30:00
MODEL=model_comp.pth
srun -n 1 lmp_kk -k on g 1 -sf kk -pk kokkos newton on neigh half -var MODEL "$MODEL" -in in.bench
