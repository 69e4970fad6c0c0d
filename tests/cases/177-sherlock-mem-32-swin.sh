#!/bin/bash
#SBATCH --job-name=swin4
#SBATCH --time=2-00:00:00
#SBATCH -p owners
#SBATCH --gpus 4
#SBATCH -C GPU_MEM:32GB
#SBATCH --mem 128G
#SBATCH --nodes 1
source ~/miniconda3/etc/profile.d/conda.sh
conda activate transformer-ssl
module load cuda/10.2.89
nvidia-smi
python -m torch.distributed.launch --nproc_per_node 4 --master_port 12345 moby_main.py --cfg moby_swin_tiny.yaml
