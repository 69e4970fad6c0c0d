#!/bin/bash
#SBATCH --job-name=study
#SBATCH --gres=npu:2
#SBATCH --nodes=1
#SBATCH --time=00:10:00
source /usr/local/Ascend/cann-8.5.0/set_env.sh
set -euo pipefail
mkdir -p results
export LD_LIBRARY_PATH="$PWD/multicore:${LD_LIBRARY_PATH:-}"
{
    printf "METADATA,job_id,%s\n" "$SLURM_JOB_ID"
    npu-smi info
} > "results/$SLURM_JOB_ID.metadata"
./ascend_study | tee "results/$SLURM_JOB_ID.csv"
