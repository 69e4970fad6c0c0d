#!/bin/bash
#SBATCH --nodes=1
#SBATCH --ntasks=1
#SBATCH --gpus-per-node=1
#SBATCH --cpus-per-task=7
#SBATCH -t 2:00:00
CONTAINER=pytorch.sif
export MIOPEN_USER_DB_PATH=/tmp/miopen_${SLURM_JOB_ID}
mkdir -p "$MIOPEN_USER_DB_PATH"
srun apptainer exec --rocm --env MIOPEN_USER_DB_PATH="$MIOPEN_USER_DB_PATH" -B data:/data "$CONTAINER" \
    python infer_stain.py --ckpt unet/best.pt --out out
echo "inference complete."
