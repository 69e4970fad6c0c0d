#!/bin/bash
#SBATCH --job-name=cot_only_trl
#SBATCH --gpus=H200:1
module load python/3.12.5 cuda/12.9.1
source ~/llm-env/bin/activate
GPUS=$(python -c "import json, sys; print(1)" "$CONFIG_FILE")
if [ "$GPUS" -gt 1 ]; then
    torchrun --nproc_per_node=$GPUS src/algorithm/cot_only_trl.py --config "$CONFIG_FILE"
else
    python src/algorithm/cot_only_trl.py --config "$CONFIG_FILE"
fi
