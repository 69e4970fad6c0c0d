#!/bin/bash
#SBATCH --job-name=ad-sycl
#SBATCH --nodes=1
#SBATCH --ntasks=1
#SBATCH --partition=special
#SBATCH --gres=gpu:pvc128g:4
#SBATCH --time=30:00
#SBATCH --mem-per-cpu=1000MB
module load intel/2024.1
make DEVICE=XeGPU PLATFORM=PVC TESTLS=ad test
