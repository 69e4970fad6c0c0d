#!/bin/bash
#SBATCH --mem=100G
#SBATCH --gres=gpu:1
module load TensorFlow/2.3.1-fosscuda-2019b-Python-3.7.4
source ~/virtualenv/s/bin/activate
python ~/ANN_ESM2_linked_glycosylation_Independent_Testing.py
