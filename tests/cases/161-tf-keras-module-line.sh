#!/bin/bash
#SBATCH --job-name hor
#SBATCH --nodes 1
#SBATCH --tasks-per-node 4
#SBATCH --cpus-per-task 40
#SBATCH --gres gpu:4
#SBATCH --time 00:20:00
module purge; module load gcc/8.3.0 cuda/10.1 cudnn/7.6.4 nccl/2.4.8 tensorrt/6.0.1 openmpi/4.0.1 python/3.7.4_ML
python tf_keras_mnist.py --epochs=20
