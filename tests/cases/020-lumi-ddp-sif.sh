#!/bin/bash
#SBATCH --account=project_000
#SBATCH --partition=standard-g
#SBATCH --gpus-per-node=8
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=56
#SBATCH --mem=480G
#SBATCH --time=1:00:00
module use /appl/local/training/modules/AI
module load singularity-userfilesystems singularity-CPEbits
CONTAINER=/appl/local/containers/lumi-pytorch-rocm-6.2.1-python-3.12.sif
srun singularity exec $CONTAINER bash -c '$WITH_CONDA && source venv/bin/activate && python -m torch.distributed.run --standalone --nproc_per_node=8 ddp_visualtransformer.py'
