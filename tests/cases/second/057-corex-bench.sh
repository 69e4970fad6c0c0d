#!/bin/bash
#SBATCH --gres=gpu:1
export COREX_VERSION=4.4.0
. /usr/local/corex/enable
python3 auto_bench.py --v0_file base.py --v1_file adapter.py --warmup 10
