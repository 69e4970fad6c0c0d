#!/bin/bash
#SBATCH -A lab
#SBATCH --array=0-3%1
#SBATCH --gres=gpu:1
#SBATCH --gres-flags=enforce-binding
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=8
#SBATCH --mem=16G
#SBATCH --time=4:0:0
cd $SLURM_SUBMIT_DIR
module load NAMD/3.0.1-gpu
NUM=$(ls run*dcd | wc -l)
srun namd3 +p8 +devices 0 run.namd > run-$NUM.log
