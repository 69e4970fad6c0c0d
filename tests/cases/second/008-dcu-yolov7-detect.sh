#!/bin/bash
#SBATCH -J yolov7detect
#SBATCH -N 2
#SBATCH --ntasks-per-node=32
#SBATCH --gres=dcu:4
export MIOPEN_DEBUG_DISABLE_FIND_DB=1
export HSA_USERPTR_FOR_PAGED_MEM=0
export MIOPEN_SYSTEM_DB_PATH=/temp/pytorch-miopen-2.8
module switch compiler/rocm/dtk-22.04.1
conda activate yolo
python detect3.py --weights best.pt --source video --save-txt --save-conf
