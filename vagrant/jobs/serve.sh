#!/bin/bash
#SBATCH --job-name=serve --gres=shard:16 --time=5 --output=/dev/null
#HET scenario=inference
sleep "${1:-20}"
