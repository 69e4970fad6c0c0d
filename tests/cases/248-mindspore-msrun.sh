#!/bin/bash
#SBATCH -J ms
#SBATCH -N 1
#SBATCH --gres=gpu:8
#SBATCH -c 128
export MS_ENABLE_HCCL=1
msrun --worker_num=8 --local_worker_num=8 run_mindformer.py --config pretrain_qwen.yaml --run_mode train --device_target Ascend
