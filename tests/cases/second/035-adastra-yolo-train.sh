#!/bin/bash
#SBATCH --job-name="test srun"
#SBATCH --constraint=MI250
#SBATCH --nodes=1
#SBATCH --gpus-per-node=1
module purge
module load cpe/24.07
source ~/env/bin/activate
srun -- yolo train data=d.yaml model=yolo11x.pt epochs=100 imgsz=640 batch=16
