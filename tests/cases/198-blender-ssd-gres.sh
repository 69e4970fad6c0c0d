#!/bin/bash
#SBATCH --job-name=render
#SBATCH --gres=gpu:4,ssd:20G
#SBATCH --cpus-per-task=4
#SBATCH --mem=20G
#SBATCH -t 4:00:00
blender -b scene.blend -E CYCLES -o //frame_#### -s 1 -e 250 -a
