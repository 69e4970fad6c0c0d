#!/bin/bash
#SBATCH -J comfy
#SBATCH --gpus=1
#SBATCH -c 8
#SBATCH --mem=48G
#SBATCH -t 8:00:00
cd ComfyUI
source venv/bin/activate
python main.py --listen 0.0.0.0 --port 8188 --output-directory /data/out
