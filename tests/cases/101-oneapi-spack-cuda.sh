#!/bin/bash
#SBATCH --job-name    compile
#SBATCH --qos         a100x2_training
#SBATCH --partition   a100x2
#SBATCH --gres        gpu:1
#SBATCH --time        00:01:00
spack unload
spack load cuda@11.8.0
source /opt/intel/oneapi/setvars.sh
nvidia-smi
sycl-ls
icpx -fsycl -fsycl-targets=nvptx64-nvidia-cuda simple.cpp -o simple
