#!/bin/bash
#SBATCH --gres=gpu:1
#SBATCH -c 4
#SBATCH -t 1:00:00
if command -v nvidia-smi >/dev/null; then
  module load cuda/12.4
  exe=./solver.cuda
else
  module load rocm/6.2
  exe=./solver.hip
fi
srun $exe input.toml
