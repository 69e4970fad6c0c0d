#!/bin/bash -l
#SBATCH --job-name=demo
#SBATCH --nodes=1
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=1
#SBATCH --gres=gpu:1
~/julia-1.6.3/bin/julia --project -e 'using CUDA; CUDA.versioninfo(); include("bench.jl")'
