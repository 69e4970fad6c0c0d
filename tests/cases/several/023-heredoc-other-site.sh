#!/bin/bash
#SBATCH --gres=gpu:1
#SBATCH -t 1:00:00
nvidia-smi
cat > lumi.sh <<'EOF'
module load rocm/6.0
export MIOPEN_USER_DB_PATH=/tmp
EOF
chmod +x lumi.sh; scp lumi.sh lumi:
python train.py --device cuda
