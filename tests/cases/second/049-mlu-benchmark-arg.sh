#!/bin/bash
#SBATCH --gres=mlu:2
source env.sh
export MLU_VISIBLE_DEVICES=0,1
bash test_benchmark.sh fp32-mlu-ddp-ci_train
