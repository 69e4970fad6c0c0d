#!/bin/bash
#SBATCH -p gpuxl
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=4
##SBATCH -C h100
export HDF5_USE_FILE_LOCKING=FALSE
# module load python cuda cudnn
source ~/venvs/well/bin/activate
srun python `which torchrun` \
  --nnodes=$SLURM_JOB_NUM_NODES \
  --nproc_per_node=$SLURM_GPUS_PER_NODE \
  --rdzv_id=$SLURM_JOB_ID \
  train.py experiment=fno
