#!/bin/bash
#SBATCH --gres=gpu:8
#SBATCH -N 1
#SBATCH -t 24:00:00
export MLU_VISIBLE_DEVICES=0,1,2,3,4,5,6,7
export LD_LIBRARY_PATH=/usr/local/neuware/lib64:$LD_LIBRARY_PATH
cd models/bert
horovodrun -np 8 python run_squad.py --mode=train_and_eval --train_data_path=$DATA/squad_train.tf_record --num_train_epochs=2
