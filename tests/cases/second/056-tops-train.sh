#!/bin/bash
#SBATCH --gres=gpu:4
unset TOPS_EXE_CACHE_PATH
export ENFLAME_ENABLE_TF32=true
export TOPS_VISIBLE_DEVICES=0,1,2,3
export ECCL_MAX_NCHANNELS=2
export OMP_NUM_THREADS=5
python -m torch.distributed.launch --nproc_per_node=4 train.py --device gcu --epochs 90
