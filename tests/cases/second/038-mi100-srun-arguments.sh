#!/bin/bash
#SBATCH --nodes=1
#SBATCH -p eap
#SBATCH -t 02:00:00
#SBATCH --gres=gpu:mi100:1
source venv/bin/activate
export OMP_NUM_THREADS=$SLURM_CPUS_PER_TASK
srun "$@"
seff $SLURM_JOBID
