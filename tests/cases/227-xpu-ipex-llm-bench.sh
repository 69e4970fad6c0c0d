#!/bin/bash
#SBATCH -J bench
#SBATCH --gres=gpu:2
#SBATCH -c 16
source /opt/intel/oneapi/setvars.sh
export SYCL_PI_LEVEL_ZERO_USE_IMMEDIATE_COMMANDLISTS=1
export CCL_ZE_IPC_EXCHANGE=sockets
export TORCH_LLM_ALLREDUCE=0
torchrun --standalone --nnodes=1 --nproc-per-node 2 generate_xpu.py --model /models/llama2 --bench
