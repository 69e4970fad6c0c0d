#!/bin/bash
#SBATCH -N 1
#SBATCH --gpus-per-node=1
#SBATCH -t 04:00:00
set -x
cd $SLURM_SUBMIT_DIR
make -j
rocprofv3 --pmc SQ_VALU_MFMA_BUSY_CYCLES,GRBM_GUI_ACTIVE -d FULL -- ./mfma_fp32
./util.py
