#!/bin/bash
#SBATCH --job-name=le
#SBATCH --partition=standard-g
#SBATCH --nodes=1
#SBATCH --gres=gpu:mi250:2
module use /appl/local/csc/modulefiles/
module purge
module load LUMI
module load pytorch nano
source $P/.venv/bin/activate
srun singularity_wrapper exec accelerate launch --num_machines=1 \
  --num_processes=1 \
  --mixed_precision="bf16" \
  $P/run_evals_accelerate.py \
  --tasks "arc|25|0" \
  --override_batch_size=35
