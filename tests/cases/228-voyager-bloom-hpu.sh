#!/bin/bash
#SBATCH -J bloom
#SBATCH -N 1
#SBATCH --gres=gpu:8
#SBATCH -c 96
hl-smi
git clone -b 1.13 https://github.com/HabanaAI/Model-References
pip install git+https://github.com/HabanaAI/DeepSpeed.git@1.13
deepspeed --num_gpus 8 train_bloom.py --deepspeed_config ds_hpu.json --steps 1000
