#!/bin/bash
#SBATCH --gres=gpu:A6000:1
#SBATCH --partition=general
export NCCL_P2P_DISABLE=1
conda activate vllm_server
export VLLM_LOGGING_LEVEL=ERROR
vllm serve meta-llama/Llama-3.1-8B-Instruct --dtype auto --port 9010 --device cuda
