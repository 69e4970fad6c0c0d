#!/bin/bash
#SBATCH --gres=gpu:1
#SBATCH -t 0:30:00
export MACA_PATH=/opt/maca-3.8.1
export CUDA_PATH="$MACA_PATH/tools/cu-bridge"
export CUDA_HOME="$MACA_PATH/tools/cu-bridge"
export PATH=$CUDA_PATH/bin:$PATH
cucc -O3 k.cu -o k
./k
