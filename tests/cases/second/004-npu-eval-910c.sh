#!/bin/bash
#SBATCH -p npu
#SBATCH --gres=npu:2
source /usr/local/Ascend/ascend-toolkit/set_env.sh
npu-smi info
PYTHONPATH=$LAB_ROOT/pylibs $VENV/bin/python $LAB_ROOT/code/eval_model.py --model m
