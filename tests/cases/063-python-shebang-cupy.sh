#!/usr/bin/env python3
#SBATCH --job-name=spectra
#SBATCH --time=12:00:00
#SBATCH --gres=gpu:1
#SBATCH -c 4
import cupy as cp
x = cp.random.rand(4096, 4096)
print(cp.linalg.norm(cp.fft.fft2(x)))
