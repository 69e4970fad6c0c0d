#!/bin/bash
#SBATCH --job-name=debug_mnode
#SBATCH --partition=dev-g
#SBATCH --nodes=1
#SBATCH --gpus-per-node=8
ln -s $SLURM_JOB_NAME.out logs/latest.out
module purge
module load LUMI/22.08 partition/G
module load pytorch/2.0
source $PYTHON_VENV/bin/activate
export PYTORCH_ROCM_ARCH=gfx90a
srun python3 -m torch.distributed.run --nproc_per_node 8 dpo.py --config c.yaml
