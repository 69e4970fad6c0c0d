#!/bin/bash
#SBATCH -A abc@h100
#SBATCH -C h100
#SBATCH --nodes=1
#SBATCH --gres=gpu:1
module load arch/h100
module load ffmpeg/6.1.1
module load pytorch-gpu/py3/2.6.0
source .venv/bin/activate
python -u -m tasks.moving_shapes.train --iterations 100 --batch_size 16
