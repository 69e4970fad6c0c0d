#!/bin/bash
#SBATCH --job-name=render
#SBATCH --gres=gpu:1
#SBATCH --array=1-250%10
#SBATCH -c 4
blender -b scene.blend -E CYCLES -o //f_#### -f $SLURM_ARRAY_TASK_ID -- --cycles-device HIP
