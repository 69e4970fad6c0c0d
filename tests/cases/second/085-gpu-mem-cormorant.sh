#!/bin/bash
#SBATCH --time=24:00:00
#SBATCH --gres gpu:1
#SBATCH --constraint=GPU_MEM:12GB
module load gcc/8.1.0
module load cuda/10.0
conda activate cormorant
echo $CUDA_HOME
python train.py --prefix msp --load --format LMDB --batch-size 1 --num-epoch 150
