#!/bin/bash
#SBATCH --job-name=pool
#SBATCH --partition=standard-g
#SBATCH --nodes=1
#SBATCH --array=0-6
#SBATCH --gpus-per-node=8
module --force purge
module use /appl/local/csc/modulefiles/
module load pytorch/2.5
export HIP_VISIBLE_DEVICES=0,1,2,3,4,5,6,7
export NCCL_P2P_DISABLE=1
export VLLM_SKIP_P2P_CHECK=1
MODEL=meta-llama/Llama-3.3-70B-Instruct
python -m vllm.entrypoints.openai.api_server --model $MODEL --tensor-parallel-size 8 &
sleep 600
python pool.py --dataset beir
