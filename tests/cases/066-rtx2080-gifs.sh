#!/bin/bash
#SBATCH --partition=course
#SBATCH --qos=course-small
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=4
#SBATCH --gres=gpu:rtx_2080_ti:1
#SBATCH --time=1:00:00
#SBATCH --mem=15G
export CUDA_LAUNCH_BLOCKING=1
source ${VENV_DIR}/bin/activate
srun python predict_and_draw_gif.py --checkpoint best.pt
