#!/bin/bash
#SBATCH --job-name=aq1_test
#SBATCH --partition=standard-g
#SBATCH --nodes=1
#SBATCH --gpus-per-node=8
module purge
module use /appl/local/csc/modulefiles
module load pytorch/2.7
python3 train.py --data d3.h5 --lr 3e-4 --epochs 5 --run_name t
