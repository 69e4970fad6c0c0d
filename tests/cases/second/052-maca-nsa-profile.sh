#!/bin/bash
#SBATCH --gres=gpu:1
set -eu
base=/data/tilelang
export MACA_PATH=/opt/maca PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=$base
/opt/conda/bin/python -u $base/hack/baseline.py --out r.csv
