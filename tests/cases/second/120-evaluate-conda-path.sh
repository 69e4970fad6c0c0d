#!/bin/bash
#SBATCH --gres=gpu:1
#SBATCH --partition=gpu
module purge
my_job_header
$HOME/miniconda3/envs/v/bin/python evaluate_model.py -v e5
