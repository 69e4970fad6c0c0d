#!/bin/bash
#SBATCH -J topk
#SBATCH --gres=gpu:1
#SBATCH -t 0:30:00
export MACA_PATH=/opt/maca
export PATH=$MACA_PATH/mxgpu_llvm/bin:$MACA_PATH/bin:$PATH
mxcc -std=c++17 -O3 topk.cu -o topk
./topk 16 8192
