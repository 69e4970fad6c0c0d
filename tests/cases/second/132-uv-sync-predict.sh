#!/bin/bash
#SBATCH --gpus=1
module load cuda/12.6.0
export UV_PROJECT_ENVIRONMENT=.venv
export PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True
if ! command -v uv &>/dev/null; then
    export PATH="$HOME/.local/bin:$PATH"
fi
uv sync --frozen
uv run python predict.py --ckpt "$CHECKPOINT" --batch-size 8 --out p
