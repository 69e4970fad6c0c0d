#!/bin/bash
#SBATCH --gpus=1
export LD_LIBRARY_PATH=/usr/local/corex/lib64:$LD_LIBRARY_PATH
export PYTHONPATH=/usr/local/corex/lib64/python3/dist-packages:$PYTHONPATH
python3 inference.py --engine resnet50.engine
