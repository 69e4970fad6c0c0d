#!/bin/bash
#SBATCH --job-name=bc
#SBATCH --time=72:0:0
#SBATCH --partition=gpu
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=8
#SBATCH --mem-per-cpu=8G
#SBATCH --gres=gpu:2
~/tools/dorado/bin/dorado basecaller --estimate-poly-a --reference ref/chm13v2.mmi sup run1.pod5 > run1.bam
