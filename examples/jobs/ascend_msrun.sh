#!/bin/bash
# Pre-trains with MindSpore on eight Ascend NPUs (CANN).
#SBATCH --job-name=pangu
#SBATCH --gres=npu:8
#SBATCH --cpus-per-task=64
#SBATCH --time=12:00:00

cann=/usr/local/Ascend/ascend-toolkit/set_env.sh
# shellcheck disable=SC1090  # part of the site's CANN, not of this repository
[ -f "$cann" ] && source "$cann"
export HCCL_CONNECT_TIMEOUT=1200
msrun --worker_num=8 --local_worker_num=8 pretrain.py
