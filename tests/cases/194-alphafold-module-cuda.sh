#!/bin/bash
#SBATCH -J af2
#SBATCH --gres=gpu:1
#SBATCH -c 8
#SBATCH --mem=64G
#SBATCH -t 12:00:00
module load AlphaFold/2.3.4-foss-2022a-CUDA-11.7.0-ColabFold
export ALPHAFOLD_DATA_DIR=/data/alphafold
alphafold --fasta_paths=t1050.fasta --max_template_date=2022-01-01 --output_dir=out
