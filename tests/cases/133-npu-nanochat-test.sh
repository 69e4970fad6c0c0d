#!/bin/bash
#SBATCH -J basetrain
#SBATCH --gres=gpu:4
#SBATCH -t 0:30:00
export ASCEND_RT_VISIBLE_DEVICES=0,1,2,3
export MASTER_ADDR=127.0.0.1
export MASTER_PORT=29500
export HCCL_WHITELIST_DISABLE=1
export HCCL_IF_IP=127.0.0.1
torchrun --standalone --nproc_per_node=4 -- scripts/base_train.py --run test --num_iterations 100
