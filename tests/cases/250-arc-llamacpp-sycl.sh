#!/bin/bash
#SBATCH -J bench
#SBATCH --gres=gpu:1
#SBATCH -c 16
#SBATCH -t 0:30:00
export ONEAPI_DEVICE_SELECTOR=level_zero:gpu
export GGML_SYCL_DISABLE_GRAPH=1
./llama-bench -m model-Q4_K_M.gguf -ngl 99 -t 16 -p 512 -n 128 -fa on
