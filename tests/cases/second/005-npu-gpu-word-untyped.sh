#!/bin/bash
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=8
#SBATCH --gpus-per-node=8
source /usr/local/Ascend/ascend-toolkit/set_env.sh
export GLOG_v=2
export RANK_SIZE=$SLURM_NTASKS
export RANK_TABLE_FILE=./rank_table.json
python generate_rank_table.py --nodes $SLURM_JOB_NODELIST --npus 8
srun python train.py --config config.yaml --distributed True
