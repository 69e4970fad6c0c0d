#!/bin/bash
#SBATCH --job-name=dp_4card
#SBATCH --nodes=1
#SBATCH --gres=dcu:4
#SBATCH --cpus-per-task=16
source "$SLURM_SUBMIT_DIR/../../env.sh"
torchrun --nproc_per_node=4 -m deepmd --pt train input_torch.json
