#!/bin/bash
#SBATCH -J equilibrate
#SBATCH --array=0-376
#SBATCH -p free-gpu
#SBATCH -t 08:00:00
#SBATCH --nodes=1
#SBATCH --cpus-per-task=1
#SBATCH --mem=16gb
#SBATCH --constraint=fastscratch
#SBATCH --gres=gpu:1
. ~/.bashrc
conda activate evaluator
export CUDA_VISIBLE_DEVICES=0
python equilibrate_box.py -i $SLURM_ARRAY_TASK_ID -wd work/equilibration -ff openff-2.1.0.offxml
