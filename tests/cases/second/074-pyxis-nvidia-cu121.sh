#!/bin/bash
#SBATCH -J posture_gen
#SBATCH -p gpu
#SBATCH --gres=gpu:1
#SBATCH --container-image=/home/team/nvidia+pytorch+25.11-py3.sqsh
python -m venv myenv
source myenv/bin/activate
pip install torch torchvision --index-url https://download.pytorch.org/whl/cu121
python generate_v4.py --pose stretch
