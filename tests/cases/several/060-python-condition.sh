#!/bin/bash
#SBATCH -t 60
python - <<EOF
import sys
if len(sys.argv) > 1: print(1)
EOF
nvidia-smi || npu-smi info
source /usr/local/Ascend/ascend-toolkit/set_env.sh
module load cann
srun python finetune.py --device npu
