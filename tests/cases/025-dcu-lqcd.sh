#!/bin/bash
#SBATCH -J corr3pt
#SBATCH -p exclu16
#SBATCH --nodes=1
#SBATCH -n 4
#SBATCH --gres=dcu:4
#SBATCH --time=00:20:00
#SBATCH --ntasks-per-node=4
#SBATCH --ntasks-per-socket=1
#SBATCH --exclusive
module purge
module load compiler/gnu/9.3.0
module load mpi/hpcx/2.11.0/intel-2017.5.239
module load compiler/dtk/25.04.4
export CUPY_INSTALL_USE_HIP=1
export HCC_AMDGPU_TARGET=gfx906
export QUDA_PATH=/opt/quda-mpi-gfx906
mpirun -np 4 python calc_3pt.py --conf 1000
