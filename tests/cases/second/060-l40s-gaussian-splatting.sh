#!/bin/bash
#SBATCH --gres=gpu:l40s:1
#SBATCH --array=0-14
set -euo pipefail
module load cuda/12.1.1
source $SCRATCH/envs/gs3d/bin/activate
python train.py -s data -m $out --eval -r 1 --save_iterations 7000 30000
python render.py -m $out --iteration 7000 --skip_train
python metrics.py -m $out
