#!/bin/bash
#SBATCH --nodes=4
#SBATCH --gpus-per-node=8
#SBATCH --tasks-per-node=8
#SBATCH --partition=standard-g
module load CrayEnv
module load PyTorch/2.0.1-rocm-5.5.1-python-3.10-singularity-20240404
export SINGULARITYENV_NCCL_DEBUG=INFO
cd mnist
srun --cpu-bind=mask_cpu:$MYMASKS \
 singularity exec $SIFPYTORCH \
    conda-python-distributed -u mnist_DDP.py --gpu --modelpath model
