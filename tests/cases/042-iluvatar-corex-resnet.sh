#!/bin/bash
#SBATCH -J resnet
#SBATCH --gres=gpu:4
#SBATCH -c 32
source /opt/sw_home/local/corex/enable
export LD_LIBRARY_PATH=/usr/local/corex/lib64:$LD_LIBRARY_PATH
ixsmi
export CUDA_VISIBLE_DEVICES=0,1,2,3
python -m torch.distributed.launch --nproc_per_node=4 train.py --model resnet50 --data-path /datasets/imagenet
