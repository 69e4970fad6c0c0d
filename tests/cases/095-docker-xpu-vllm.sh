#!/bin/bash
#SBATCH -J vx
#SBATCH --gres=gpu:2
#SBATCH -c 16
#SBATCH -t 8:00:00
docker run --rm --device /dev/dri --ipc=host -p 8000:8000 -v /models:/model:ro \
  -e ZE_AFFINITY_MASK=0,1 -e CCL_ATL_TRANSPORT=ofi -e FI_PROVIDER=tcp \
  vllm/vllm-openai-xpu:nightly vllm serve /model --tensor-parallel-size 2 --max-model-len 8192
