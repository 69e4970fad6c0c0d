#!/bin/bash
#SBATCH -J ixrt
#SBATCH --gres=gpu:bi150:1
#SBATCH -c 8
#SBATCH -t 1:00:00
export PATH=/usr/local/corex/bin:$PATH
ixsmi -L
python3 inference.py --model yolov5m.onnx --precision int8 --bsz 32
