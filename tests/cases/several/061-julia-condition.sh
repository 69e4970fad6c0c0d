#!/bin/bash
#SBATCH -t 60
julia - <<EOF
if x > 3
 y()
end
EOF
nvidia-smi || npu-smi info
source /usr/local/Ascend/ascend-toolkit/set_env.sh
module load cann
srun python finetune.py --device npu
