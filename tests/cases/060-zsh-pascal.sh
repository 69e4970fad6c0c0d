#!/bin/zsh
#SBATCH -n 4
#SBATCH -N 1
#SBATCH -p dcc
#SBATCH --mem 16384
#SBATCH --gres gpu:Pascal:1
#SBATCH -o %x_%j.out
for e in 15 30; do
  python train_olra.py --use_gru --n_epochs $e --output_folder olra_$e
done
