#!/bin/bash
#SBATCH --job-name=namd3
#SBATCH --time=01:00:00
#SBATCH --nodes=1
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=9
#SBATCH --gpus=2
#SBATCH --mem-per-cpu=1GB
#SBATCH --partition standard-g
(( namd_threads = SLURM_CPUS_PER_TASK - 1 ))
export IMAGE="ubuntu2204_namd30.sif"
singularity exec --rocm --bind ./apoa1:/apoa1 $IMAGE namd3 +p ${namd_threads} +devices 0,1 /apoa1/apoa1.namd > apoa1.out
