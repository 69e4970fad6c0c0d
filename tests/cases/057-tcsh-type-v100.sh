#!/bin/tcsh
#SBATCH -p GPU
#SBATCH -N1
#SBATCH -n1
#SBATCH --gres=gpu:v100:1
#SBATCH --job-name=nbody
#SBATCH --time=16-00:00:00
#SBATCH --mem=128000
source /etc/profile.d/modules.csh
module load dev_tools/oct2018/gcc-Toolchain
setenv OMP_NUM_THREADS 1
./pkdgrav3_cuda control.par > example.out
