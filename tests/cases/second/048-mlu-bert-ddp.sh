#!/bin/bash
#SBATCH --gres=gpu:4
#SBATCH -c 16
pushd models
export MLU_VISIBLE_DEVICES=0,1,2,3
python -m torch.distributed.launch --nproc_per_node=4 --master_port=29000 \
  train_ddp.py --distributed --nproc_per_node 4 --dist-backend cncl --device mlu --pyamp
popd
