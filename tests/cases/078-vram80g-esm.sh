#!/bin/bash
#SBATCH -J bgf_150M
#SBATCH --time=24:00:00
#SBATCH -p dgxh
#SBATCH --gres=gpu:1
#SBATCH --mem=200G
#SBATCH --constraint=vram80g
set -euo pipefail
ESM_CKPT="facebook/esm2_t30_150M_UR50D"
TAG="150M"
uv run python finetune.py --ckpt $ESM_CKPT --epochs 1 --tag $TAG
