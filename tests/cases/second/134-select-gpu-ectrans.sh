#!/bin/bash
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=8
#SBATCH --gpus-per-node=8
#SBATCH --partition=standard-g
module load rocm/6.0.3
export MPICH_GPU_SUPPORT_ENABLED=1
srun --cpu-bind=map_cpu:48,56 ./select_gpu bin/ectrans-benchmark-gpu-sp --truncation 79 --nproma 32
