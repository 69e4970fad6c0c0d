#!/bin/bash
#SBATCH --constraint=MI300
#SBATCH --job-name=batch_size_finder
#SBATCH --nodes=8
#SBATCH --gpus-per-node=4
#SBATCH --ntasks-per-node=4
#SBATCH --cpus-per-task=24
#SBATCH --time=04:00:00
#SBATCH --hint=nomultithread
source env/bin/activate
export NCCL_DEBUG=INFO
srun python train_lightning.py --strategy ddp --num_nodes 8 --find_batch_size
