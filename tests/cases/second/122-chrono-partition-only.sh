#!/bin/bash
#SBATCH -N 1
#SBATCH -c 32
#SBATCH --gres=gpu:1
#SBATCH -p mi3258x
source venvs/chrono-ray/bin/activate
python ./DEMO_veh_soil.py --num_gpu "${NUM_GPUS}"
