#!/bin/bash
#SBATCH --job-name=memprof
#SBATCH --nodes=1
#SBATCH --constraint=MI250
#SBATCH --gpus-per-node=1
EXECUTABLE=$1
module load rocm/5.3.0
export COMMAND="rocprof -i INPUT.txt -o out.csv $EXECUTABLE"
singularity exec \
--env OMP_NUM_THREADS=64 \
--rocm \
$CONTAINERSDIR/sycl.sif $COMMAND
