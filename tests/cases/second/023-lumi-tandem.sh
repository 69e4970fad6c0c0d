#!/bin/bash
#SBATCH --job-name=tandem
#SBATCH --partition=dev-g
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=8
#SBATCH --gpus-per-node=8
export MPICH_GPU_SUPPORT_ENABLED=1
CPU_BIND="core"
tandem_exe=/pfs/scratch/tandem/build_gpu/app/tandem
time -p srun --cpu-bind=$CPU_BIND $tandem_exe bp5.toml --mg_strategy twolevel --petsc -options_file options.cfg
