#!/bin/bash
#SBATCH --nodes=2
#SBATCH --gpus-per-node=8
cd /workspace/RL && source .venv/bin/activate && uv run examples/run_sft.py --config=c.yaml cluster.num_nodes=2
