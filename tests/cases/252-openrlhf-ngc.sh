#!/bin/bash
#SBATCH -J ppo
#SBATCH -N 2
#SBATCH -t 3-00:00:00
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --exclusive
#SBATCH --mem=0
#SBATCH --overcommit
IMAGE_NAME="nvcr.io/nvidia/pytorch:24.07-py3"
MOUNT="$PWD:/openrlhf"
srun --overlap -N1 -n1 --container-image="$IMAGE_NAME" --container-mounts="$MOUNT" bash -c "ray start --head --block" &
sleep 30
srun --overlap -N1 -n1 --container-image="$IMAGE_NAME" --container-mounts="$MOUNT" bash -c "ray job submit -- python3 -m openrlhf.cli.train_ppo_ray --num_episodes 1"
