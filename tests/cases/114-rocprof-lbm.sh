#!/bin/bash
#SBATCH --partition=gpu-dev
#SBATCH --nodes=1
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=16
#SBATCH --gpus-per-task=1
ROCM_VERSION="5.0.2"
INPUT_DECK="data/short.xml"
APP=d3q27_PSM_NEBB
odir="profile_$(date +%Y-%m-%d)"
mkdir -p ${odir}
module load rocm/${ROCM_VERSION}
CLB/${APP}/main $INPUT_DECK
rocprof --stats --sys-trace CLB/${APP}/main $INPUT_DECK
mv results.* ${odir}/
