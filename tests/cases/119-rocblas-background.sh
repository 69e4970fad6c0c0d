#!/bin/bash
#SBATCH --gres=gpu:2
#SBATCH -c 8
#SBATCH -t 0:30:00
source /etc/profile.d/modules.sh
module load rocm/5.3.0
tmp=/tmp/bench-$$
mkdir -p $tmp
singularity run bench.sif rocblas-bench -f gemm -r d -m 8640 -n 8640 -k 8640 -i 2000 --device 0 &
singularity run bench.sif rocblas-bench -f gemm -r d -m 8640 -n 8640 -k 8640 -i 2000 --device 1 &
wait
