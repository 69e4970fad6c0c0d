#!/bin/bash
#SBATCH -J fq2bam
#SBATCH --gres=gpu:4
#SBATCH -c 48
#SBATCH --mem=200G
#SBATCH -t 6:00:00
module load apptainer
apptainer exec --nv -B /data clara-parabricks_4.3.sif pbrun fq2bam --ref ref.fa --in-fq s_1.fq.gz s_2.fq.gz --out-bam s.bam --num-gpus 4
