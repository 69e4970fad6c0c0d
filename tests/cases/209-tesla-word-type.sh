#!/bin/bash
#SBATCH --partition=gpu
#SBATCH -J vista
#SBATCH -t 23:59:00
#SBATCH --gres=gpu:tesla:1
module load ffmpeg
srun python -u evaluate.py --model models/pilot.onnx --traces trace_forward
