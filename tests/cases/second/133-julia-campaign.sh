#!/bin/bash
#SBATCH --gres=gpu:1
#SBATCH --array=0-4
set +u
source /etc/profile
set -u
module load cuda/12.8.1-zkkfiog julia/1.11.7-6bmogfl
export JULIA_PKG_PRECOMPILE_AUTO=0
julia --project=$P run_ladder.jl
