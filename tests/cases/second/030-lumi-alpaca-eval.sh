#!/bin/bash
#SBATCH --nodes=1
#SBATCH --partition=dev-g
#SBATCH --ntasks-per-node=8
#SBATCH --gpus-per-node=mi250:8
module load pytorch
source /scratch/.alpaca_venv/bin/activate
alpaca_eval evaluate_from_model --model_configs "m" --output_path "r"
