#!/bin/bash
#SBATCH --gres=hpu:8
#SBATCH -t 1:00:00
HF_DATASETS_OFFLINE=1 PT_HPU_POOL_MEM_ACQUIRE_PERC=100 \
python ../gaudi_spawn.py --world_size 8 run_generation.py \
  --model_name_or_path /models/internlm-20b --max_new_tokens 512 --bf16 --use_hpu_graphs --use_kv_cache
