#!/bin/bash
#SBATCH -J s2v
#SBATCH --gres=gpu:8
#SBATCH -c 32
set -eo pipefail
export PLATFORM=cambricon_mlu
export PYTORCH_MLU_ALLOC_CONF=expandable_segments:True
export OMP_NUM_THREADS=1
torchrun --standalone --nnodes=1 --nproc_per_node=8 -m lightx2v.infer --task s2v --model_path /models/ltx --save_result_path out.mp4
