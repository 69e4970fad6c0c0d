#!/bin/bash
#SBATCH -n 1
#SBATCH -c 32
#SBATCH --gpus-per-task=1
export OMP_NUM_THREADS=$SLURM_CPUS_PER_TASK
export GMX_USE_GPU_BUFFER_OPS=1
module purge
python fmm_autoopt.py -i frame.gro --top topol.top --mdp F.mdp --ref 0 20 --sparse test --maxerr 0.02
