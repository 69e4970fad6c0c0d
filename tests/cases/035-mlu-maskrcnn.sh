#!/bin/bash
#SBATCH -J maskrcnn
#SBATCH -N 1
#SBATCH --gres=mlu:8
#SBATCH -c 64
#SBATCH -t 2-00:00:00
export MLU_VISIBLE_DEVICES=0,1,2,3,4,5,6,7
NUM=$(echo $MLU_VISIBLE_DEVICES | awk -F "," '{print NF}')
python -m torch.distributed.launch --nproc_per_node=$NUM --master_port=29500 maskrcnn_train.py --config-file configs/fp32_8.yaml
