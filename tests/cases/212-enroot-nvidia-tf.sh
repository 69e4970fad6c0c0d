#!/bin/bash
#SBATCH -J encoder
#SBATCH --gres=gpu:1
#SBATCH -c 8
#SBATCH -t 1-0
enroot create --name enc ../nvidia+tensorflow+20.12-tf1-py3.sqsh
enroot start --mount $(pwd):/workspace enc <<'EOF'
pip install -r requirements.txt
python train_encoder.py --loss contrastive --epochs 200
EOF
