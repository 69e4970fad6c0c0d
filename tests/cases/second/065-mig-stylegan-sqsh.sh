#!/bin/bash
#SBATCH --job-name=generate_stylegan
#SBATCH --partition=h200
#SBATCH --gres=gpu:3g.71gb:1
#SBATCH --container-image=/storage/stylegan_image.sqsh
export CUDA_HOME=/opt/compiler_env
export PATH=/opt/compiler_env/bin:$PATH
python generate_images.py --network m.pkl --seeds 0-999
