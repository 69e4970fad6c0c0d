#!/bin/bash
#SBATCH --account=xyz@a100
#SBATCH -C h100
#SBATCH --gres=gpu:1
module purge
module load arch/h100
module load python
module load cuda
module load cudnn
module load nccl
conda activate ft-synth
python3 train.py --ft_data_dir data/
