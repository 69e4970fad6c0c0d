#!/bin/bash
#SBATCH --gres=gpu:1
#SBATCH -t 1:00:00
module load rocm
usage() {
cat <<EOF
  module load cuda/12
EOF
}
srun python main.py
