#!/bin/bash
#SBATCH -J worker
#SBATCH --gres=gpu:1
#SBATCH -c 8
#SBATCH -t 1:00:00
docker run --gpus all --rm -v $PWD/in:/in:ro -v $PWD/out:/out org/worker:latest \
  yolo predict model=yolo11x.pt source=/in project=/out
