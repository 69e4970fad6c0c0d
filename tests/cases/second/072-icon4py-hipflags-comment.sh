#!/bin/bash
#SBATCH --job-name=bench
#SBATCH --ntasks=1
#SBATCH --gres=gpu:1
#SBATCH --uenv=icon/25.2:v4
#SBATCH --view=default
source .venv/bin/activate
export GT4PY_BUILD_CACHE_LIFETIME=persistent
# export HIPFLAGS="-std=c++17 -fPIC -O3"
export ICON_GRID="r02b04.nc"
pytest -s tests/bench_dycore.py -k "not slow"
