#!/bin/bash
#SBATCH --job-name=megatron
#SBATCH -t 00:30:00
#SBATCH -N 1
#SBATCH --gpus-per-node=8
SIF=megatron.sif
export MBS=2 BS=64 TP=4 TE_FP8=0 SEQ_LENGTH=4096
echo "start $(date +%s)"
time srun apptainer exec --rocm $SIF bash examples/llama/train_llama3.sh
