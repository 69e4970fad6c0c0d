#!/bin/bash
#SBATCH --partition=A40medium
#SBATCH --gpus=4
#SBATCH --ntasks=8
module load Miniforge3
module load CUDA/12.1.1
module load PyTorch/2.1.2-foss-2023a-CUDA-12.1.1
conda activate env
pip install vllm --extra-index-url https://download.pytorch.org/whl/cu121
export LLM_IP=$(hostname)
python -m vllm.entrypoints.openai.api_server --model m --tensor-parallel-size 4 &
sleep 300
python eval_humaneval.py
