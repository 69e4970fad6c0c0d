#!/bin/bash
#SBATCH --time=23:00:00
#SBATCH --partition=ami100
#SBATCH --gres=gpu:1
gpu=True
module purge
module load rocm/6.1
module load miniforge
mamba activate pytorch241_rocm61
while getopts "f:" flag; do
 case $flag in
   f) expfile=$OPTARG;;
 esac
done
python run_model.py -gpu $gpu -f $expfile
