#!/bin/bash
#SBATCH --gpus=1
#SBATCH -t 0:30:00
export MLU_VISIBLE_DEVICES=0
python inference.py --model /models/baichuan-7B
