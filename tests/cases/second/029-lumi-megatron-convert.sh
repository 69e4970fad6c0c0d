#!/bin/bash
#SBATCH --job-name=conv
#SBATCH --nodes=1
#SBATCH --partition=dev-g
#SBATCH --gpus-per-node=mi250:1
ml use /appl/local/csc/modulefiles
ml load pytorch
if [ -z "$1" ]
  then
    exit 1
fi
python3 tools/checkpoint/util.py --model-type GPT --loader loader_megatron --saver llama
