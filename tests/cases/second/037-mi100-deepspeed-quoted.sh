#!/bin/bash
#SBATCH --job-name=test-pt
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=4
#SBATCH --gres=gpu:4
module swap PrgEnv-cray PrgEnv-gnu
export NCCL_DEBUG=INFO
mpirun singularity exec $SCRATCH/deepspeed_rocm5.0.1_ubuntu18.04_py3.7_pytorch_1.10.0.sif \
                   bash -c '
                   cd cnn;
                   python cnn_deepspeed.py --deepspeed_config ds_config.json'
