#!/bin/bash
#SBATCH --container-image ghcr.io\#org/cuda-python3
#SBATCH --gpus=1
#SBATCH --cpus-per-gpu=8
#SBATCH --mem-per-gpu=40G
#SBATCH -t 2-0:00:00
source /opt/python3/venv/base/bin/activate
pip install -r requirements.txt
python3 -m lib.training.run_type_classification --dataset_file=train.csv --model_name=google/mt5-base
