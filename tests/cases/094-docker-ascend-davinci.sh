#!/bin/bash
#SBATCH -J va
#SBATCH --gres=gpu:2
#SBATCH -c 32
docker run --rm --device /dev/davinci0 --device /dev/davinci1 --device /dev/davinci_manager --device /dev/hisi_hdc \
  -v /usr/local/Ascend/driver:/usr/local/Ascend/driver -v /models:/models --shm-size 16g \
  quay.io/ascend/vllm-ascend:v0.11 vllm serve /models/qwen -tp 2
