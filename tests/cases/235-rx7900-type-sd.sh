#!/bin/bash
#SBATCH -J sd
#SBATCH --gres=gpu:rx7900xtx:1
#SBATCH -c 8
#SBATCH -t 1:00:00
source venv/bin/activate
python txt2img.py --prompt "an astronaut riding a horse" --n_samples 4
