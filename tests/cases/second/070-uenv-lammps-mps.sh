#!/bin/bash
#SBATCH --job-name=lammps
#SBATCH --nodes=1
#SBATCH --gpus-per-node=4
#SBATCH --uenv=lammps/rc2:2064
#SBATCH --view=lammps
export CUDA_MPS_PIPE_DIRECTORY=/tmp/nvidia-mps
CUDA_VISIBLE_DEVICES=0,1,2,3 nvidia-cuda-mps-control -d
srun -u --overlap --ntasks-per-node=1 ./gpubind0.sh hwloc-bind --cpubind core:0-7 -- lmp -in in.K_500 -log out.log &
wait
