#!/bin/bash
#SBATCH --gres=gpu:1
module load cudatoolkit/10.1 cudnn/cuda-10.1/7.6.3 anaconda3/2019.10
conda activate jax-gpu
python myscript.py
