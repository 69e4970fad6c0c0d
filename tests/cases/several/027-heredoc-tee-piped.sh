#!/bin/bash
#SBATCH --gres=gpu:1
#SBATCH -t 1:00:00
tee run.py <<EOF >/dev/null
import torch_npu
EOF
cat <<EOF | bash
source /usr/local/Ascend/set_env.sh
EOF
torchrun --nproc_per_node 8 run.py --do_train
