#!/bin/bash
#SBATCH --job-name=mlpf-train
#SBATCH --nodes=1
#SBATCH --gpus-per-task=8
#SBATCH --partition=standard-g
module load singularity-AI-bindings
module load aws-ofi-rccl
export IMG=/appl/local/containers/sif-images/lumi-pytorch-rocm-6.2.4-python-3.12-pytorch-v2.7.0.sif
export ROCM_PATH=/opt/rocm
export KERAS_BACKEND=torch
export NCCL_SOCKET_IFNAME=hsn0
singularity exec -B /scratch -B /tmp $IMG $1
