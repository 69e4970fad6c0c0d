#!/bin/bash
# Speech recognition on one Cambricon MLU (Neuware).
#SBATCH --job-name=asr
#SBATCH --gres=mlu:1
#SBATCH --cpus-per-task=4
#SBATCH --time=01:00:00

module load neuware/3.8
python transcribe.py --model whisper-large
