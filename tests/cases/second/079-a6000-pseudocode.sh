#!/bin/bash
#SBATCH --partition=general
#SBATCH --gres=gpu:A6000:2
conda activate coderag
cd CodeRAG
python src/PseudocodeExperiments.py
