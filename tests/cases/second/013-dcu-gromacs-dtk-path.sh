#!/bin/bash
#SBATCH -p ty_normal
#SBATCH -N 1
#SBATCH --ntasks-per-node=4
#SBATCH --gres=gpu:4
module purge
module load mpi/hpcx/2.4.1/gcc-7.3.1
source /public/software/compiler/dtk-22.10/env.sh
source /public/software/compiler/dtk-22.10/cuda/env.sh
export GMX_USE_GPU_BUFFER_OPS=1
export GMX_GPU_DD_COMMS=true
GMX2022=/public/software/gromacs/bin/gmx_mpi
${GMX2022} grompp -f md.mdp -o md.tpr
mpirun --bind-to numa -np 4 ${GMX2022} mdrun -v -deffnm md
