#!/bin/bash
#SBATCH -p npu
#SBATCH --gres=npu:8
#SBATCH -c 64
#SBATCH -t 4:00:00
source /usr/local/Ascend/ascend-toolkit/set_env.sh
DEVS=(${ASCEND_RT_VISIBLE_DEVICES//,/ })
[ ${#DEVS[@]} -eq 0 ] && DEVS=(0 1 2 3 4 5 6 7)
for i in $(seq 0 7); do
  ASCEND_RT_VISIBLE_DEVICES=${DEVS[$i]} python eval_shard.py --shard $i --of 8 &
done
wait
