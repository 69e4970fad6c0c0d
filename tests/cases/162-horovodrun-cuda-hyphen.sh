#!/bin/bash -l
#SBATCH -J hvd
#SBATCH -N 4
#SBATCH --ntasks-per-node=2
#SBATCH --gres=gpu:2
#SBATCH -p gpus
#SBATCH -c 12
#SBATCH --mem-per-gpu=62G
conda activate nlp_tf
module load cuda-10.0
horovodrun -np $SLURM_NTASKS -H gpu01:2,gpu02:2,gpu03:2,gpu04:2 python nlp_horovod.py
