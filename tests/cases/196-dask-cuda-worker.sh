#!/bin/bash
#SBATCH -N 2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=4
#SBATCH -t 1:00:00
SCHED=$SCRATCH/sched.json
dask scheduler --scheduler-file $SCHED &
srun dask-cuda-worker --scheduler-file $SCHED --rmm-pool-size 14GB --protocol tcp &
python reduce_frames.py --scheduler-file $SCHED
