#!/bin/bash
#SBATCH -A m0000_g
#SBATCH -q preempt
#SBATCH -C gpu&hbm80g
#SBATCH -N 1
#SBATCH --gpus-per-node=4
#SBATCH -t 24:00:00
#SBATCH --signal=B:USR1@60
#SBATCH --requeue
podman-hpc run --rm --gpu --ipc host -v $CONFIG:/config -v $TRAIN:/traindata --env 'WANDB*' --env 'SLURM*' \
  $IMAGE torchrun --nproc_per_node 4 --nnodes 1 -m fme.train /config/train.yaml
