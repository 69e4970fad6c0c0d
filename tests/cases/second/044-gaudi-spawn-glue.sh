#!/bin/bash
#SBATCH --nodes=1
#SBATCH --gres=gpu:8
#SBATCH -t 4:00:00
cd examples/text-classification
python ../gaudi_spawn.py --world_size 8 --use_mpi run_glue.py \
  --model_name_or_path bert-large \
  --gaudi_config_name Habana/bert-large \
  --do_train --do_eval --per_device_train_batch_size 32
