#!/bin/bash
#SBATCH -J sdxl
#SBATCH --gres=gpu:gaudi2:1
#SBATCH -c 12
#SBATCH -t 1:00:00
module load habana
source activate gaudi
python text_to_image_generation.py --model_name_or_path stabilityai/stable-diffusion-xl-base-1.0 \
  --prompts "Sailing ship" --num_images_per_prompt 28 --batch_size 7 --use_habana --use_hpu_graphs
