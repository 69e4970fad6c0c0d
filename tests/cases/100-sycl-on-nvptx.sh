#!/bin/bash -l
#SBATCH --time=0:30:00
#SBATCH --partition=gpu
#SBATCH --qos=default
#SBATCH --nodes=1
#SBATCH --gpus-per-node=1
module load env/staging/2023.1
module load intel-oneapi
icpx -fsycl -fsycl-targets=nvptx64-nvidia-cuda hello.cpp -o hello
srun ./hello
