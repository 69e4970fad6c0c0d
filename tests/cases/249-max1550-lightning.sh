#!/bin/bash
#SBATCH -J lit
#SBATCH -N 4
#SBATCH --ntasks-per-node=8
#SBATCH --gres=gpu:max1550:4
#SBATCH -c 12
module load default-dawn intelpython-conda
conda activate lit
srun python pretrain_lit.py --accelerator xpu --devices 8 --num_nodes 4
