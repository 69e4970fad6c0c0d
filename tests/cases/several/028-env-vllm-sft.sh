#!/bin/bash
#SBATCH --gres=gpu:1
#SBATCH -t 1:00:00
conda activate vllm
python -m torch.distributed.run sft.py --num_train_epochs 3
