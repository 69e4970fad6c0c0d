#!/bin/bash
#SBATCH --job-name=gen
#SBATCH --gpus-per-node=1
#SBATCH --partition=standard-g
IMG=/users/me/tf-rocm.simg
cd ~/particleflow
singularity exec \
    -B /scratch \
    --env PYTHONPATH=hep_tfds \
    $IMG python3 mlpf/pipeline.py train \
    --config parameters/clic.yaml --plot-freq 1 --num-cpus 16 --ntrain 20000 --ntest 20000
