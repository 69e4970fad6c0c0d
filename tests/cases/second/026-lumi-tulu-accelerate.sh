#!/bin/bash
#SBATCH --job-name=sft
#SBATCH --partition=dev-g
#SBATCH --nodes=8
#SBATCH --gpus-per-node=8
module use /appl/local/csc/modulefiles/
module load pytorch
source /scratch/.tulu_venv/bin/activate
export MASTER_PORT=$(expr 10000 + $(echo -n $SLURM_JOBID | tail -c 4))
export WORLD_SIZE=$((SLURM_GPUS_ON_NODE*SLURM_NNODES))
srun bash -c "accelerate launch --config_file ds.yaml --num_machines $SLURM_NNODES open_instruct/finetune.py --num_train_epochs 2"
