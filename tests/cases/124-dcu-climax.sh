#!/bin/bash
#SBATCH -n 32
#SBATCH -N 1
#SBATCH -J climax
#SBATCH -t 72:00:00
#SBATCH -p normal
#SBATCH --gres=dcu:4
#SBATCH --exclusive
#SBATCH --mem=110G
module use /public/software/modules
module purge
module load compiler/rocm/dtk-22.04.2
module load apps/PyTorch/1.10.0a0-build/torch1.10.0a0-dtk21.10-build
export OMP_NUM_THREADS=1
python -m torch.distributed.launch --nproc_per_node=4 --nnodes=1 --node_rank=0 train.py --batch_size 4
