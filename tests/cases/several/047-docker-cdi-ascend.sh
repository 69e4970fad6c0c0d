#!/bin/bash
#SBATCH --gres=gpu:1
#SBATCH -t 1:00:00
docker run --device huawei.com/npu=all torch python train.py
