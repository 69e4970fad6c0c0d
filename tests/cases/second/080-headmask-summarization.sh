#!/bin/bash
#SBATCH --time=24:00:00
#SBATCH --gres=gpu:a6000:1
export TOKENIZERS_PARALLELISM=false
python -u scripts/summarization/run_headmask.py --model_nm chat --decoding_algo cad --generation_config topp.json --n_samples 250
