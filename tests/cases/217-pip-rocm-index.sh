#!/bin/bash
#SBATCH --gpus=1
#SBATCH -c 8
#SBATCH -t 1:00:00
python -m venv $TMPDIR/v && . $TMPDIR/v/bin/activate
pip install -q torch --index-url https://download.pytorch.org/whl/rocm6.3
python main.py
