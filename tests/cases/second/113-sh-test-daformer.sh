#!/bin/bash
#SBATCH --nodes=1
#SBATCH --cpus-per-task=1
#SBATCH --gres=gpu:1
module purge
module load python/intel/3.8.6
sh test.sh 211108_daformer_s0
