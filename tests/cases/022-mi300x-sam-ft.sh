#!/bin/bash --login
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=64
#SBATCH --mem=1T
#SBATCH --time=7-00:00:00
#SBATCH --gres=gpu:mi300x:8
#SBATCH --qos=sdf
module load anaconda3
source $EBROOTANACONDA3/etc/profile.d/conda.sh
conda activate sam-mi300
export MASTER_ADDR=localhost
export MASTER_PORT=$((26000 + RANDOM % 1000))
amd-smi
torchrun --nproc_per_node=8 finetune_sam.py --epochs 100
