#!/bin/bash
#SBATCH -J caption
#SBATCH --gres=gpu:2
#SBATCH -C "a100&80gb"
#SBATCH -c 16
#SBATCH -t 6:00:00
source venv/bin/activate
python generate_captions.py --model /models/vl-72b --images imgs.txt --tp 2
