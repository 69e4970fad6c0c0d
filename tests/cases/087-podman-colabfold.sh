#!/bin/bash
#SBATCH -q regular
#SBATCH -N 1
#SBATCH -C a100
#SBATCH --gpus=4
#SBATCH -t 02:00:00
update_status() { echo "$1 $2" >> status.txt; }
update_status alphafold Running
srun --gpus=4 --job-name alphafold podman-hpc run --rm --gpu -v $PWD:/work worker:latest /bin/bash -c "
  cd /work && colabfold_batch --num-models=3 --amber --use-gpu-relax af.fasta alphafold"
update_status alphafold Success
