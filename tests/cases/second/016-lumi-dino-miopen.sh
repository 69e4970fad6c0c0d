#!/bin/bash
#SBATCH --job-name=dino_pretrain
#SBATCH --partition=standard-g
#SBATCH --nodes=2
#SBATCH --gpus-per-node=8
module purge
module use /appl/local/csc/modulefiles
module load pytorch
export NCCL_DEBUG=INFO
export MIOPEN_USER_DB_PATH=/tmp/$USER-miopen
export MIOPEN_CUSTOM_CACHE_DIR=${MIOPEN_USER_DB_PATH}
export NCCL_NET_GDR_LEVEL=3
srun python3 -m torch.distributed.run --nproc_per_node=8 --nnodes=2 main_dino.py --arch vit_small
