#!/bin/bash
#SBATCH --job-name=agent-8b
#SBATCH --partition=gaudi
#SBATCH --nodes=1
#SBATCH --gres=gpu:hl225:3
#SBATCH --cpus-per-task=24
#SBATCH --mem=160G
#SBATCH --time=06:00:00
#SBATCH --exclusive
set -e
export HABANA_VISIBLE_DEVICES=all
export PT_HPU_LAZY_MODE=1
CONTAINER=/containers/vllm-gaudi.sif
apptainer exec --writable-tmpfs $CONTAINER vllm serve Qwen/Qwen3-8B --device hpu --block-size 128 --port 8001 &
sleep 300
python run_agent.py --env airline --model-url http://localhost:8001/v1
