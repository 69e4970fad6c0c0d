#!/bin/bash
#SBATCH --gres=gpu:8
#SBATCH -t 6:00:00
docker run --rm --runtime=habana --ipc=host resnet-train mpirun -n 8 --bind-to core python3 train_resnet101.py --num_hpus 8
