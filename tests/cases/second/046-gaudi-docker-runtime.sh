#!/bin/bash
#SBATCH --gres=gpu:1
#SBATCH -c 12
docker run --rm --runtime=habana -e HABANA_VISIBLE_DEVICES=$HABANA_VISIBLE_DEVICES -e OMPI_MCA_btl_vader_single_copy_mechanism=none --cap-add=sys_nice --ipc=host \
  vllm-fork:1.0 python3 -m vllm.entrypoints.openai.api_server --port 8000 --model /app/m
