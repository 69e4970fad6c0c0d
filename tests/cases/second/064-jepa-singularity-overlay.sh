#!/bin/bash
#SBATCH --job-name=JEPA
#SBATCH --gres=gpu:1
#SBATCH --constraint="a100|h100"
#SBATCH --array=0-2
singularity exec --nv \
    --overlay /scratch/envs/fMRI.ext3:ro \
    /singularity/cuda12.1.1-cudnn8.9.0-devel-ubuntu22.04.2.sif \
    /bin/bash -c " \
    source /ext3/env.sh; \
    cd pretraining; \
    python jepa.py --wandb_log --num_masks=4 --mask_ratio=0.95 --num_epochs=20 --ckpt_interval=1 --batch_size=24"
