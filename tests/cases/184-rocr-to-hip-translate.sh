#!/bin/bash
#SBATCH -N 1
#SBATCH --gpus-per-node=8
#SBATCH -c 56
#SBATCH -t 24:00:00
if [[ -n "${ROCR_VISIBLE_DEVICES:-}" ]]; then
  export HIP_VISIBLE_DEVICES="${ROCR_VISIBLE_DEVICES}"
  unset ROCR_VISIBLE_DEVICES
fi
export VLLM_WORKER_MULTIPROC_METHOD=spawn
python3 src/vllm_translate.py --model_id $MODEL --input_file in.jsonl --tensor_parallel_size 8 --output_dir out
