#!/bin/bash
#SBATCH --job-name=water
#SBATCH --partition=normal
#SBATCH --nodes=1
#SBATCH --ntasks=4
#SBATCH --cpus-per-task=4
#SBATCH --gres=dcu:4
#SBATCH --mem=60G
#SBATCH --time=01:00:00
set -euo pipefail
module purge
module load compiler/gcc/9.3.0 compiler/cmake/3.24.1 compiler/dtk/25.04.4
export UCX_TLS="^cma,rocm_ipc"
export OMP_NUM_THREADS=1
mpirun -np "$SLURM_NTASKS" ./rbmd -in run.json
