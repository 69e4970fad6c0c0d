#!/bin/csh -f
#SBATCH -J lbm
#SBATCH -N 1
#SBATCH -n 1
#SBATCH --gres=gpu:1
#SBATCH -t 12:00:00
setenv LD_LIBRARY_PATH /usr/local/cuda-11.4/lib64:${LD_LIBRARY_PATH}
cd $SLURM_SUBMIT_DIR
foreach re (100 400 1000)
  ./lbm2d -Re $re > out.$re
end
