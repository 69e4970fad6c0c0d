#!/bin/bash
#SBATCH -J tgi
#SBATCH -N 1
#SBATCH --gres=gpu:1
#SBATCH -c 16
model=mistralai/Mistral-7B
docker run --rm --runtime=habana -p 8080:80 -v $PWD/data:/data -e HABANA_VISIBLE_DEVICES=all \
  -e OMPI_MCA_btl_vader_single_copy_mechanism=none --cap-add=sys_nice --ipc=host \
  ghcr.io/huggingface/tgi-gaudi:latest --model-id $model --max-input-tokens 4096 --max-total-tokens 8192
