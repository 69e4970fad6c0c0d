#!/bin/bash
#SBATCH --gres=gpu:2
#SBATCH -c 16
#SBATCH -t 12:00:00
# module load rocm/5.4.3
source ~/miniforge3/bin/activate torch-cu118
python -m torch.distributed.run --nproc_per_node=2 pretrain.py --data $DATA
