#!/bin/bash
#SBATCH --job-name=basecall
#SBATCH --gres=gpu:2
#SBATCH --time=24:00:00
#SBATCH --partition="gp1d"
#SBATCH --mem=96G
module load cuda
~/app/ont-guppy/bin/guppy_basecaller -i lib/fast5_pass -s lib/fastq -q 0 -x cuda:0 -c dna_r9.4.1_450bps_hac.cfg > report.txt
