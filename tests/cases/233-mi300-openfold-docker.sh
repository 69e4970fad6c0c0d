#!/bin/bash
#SBATCH --partition=gpu
#SBATCH --gres=gpu:mi300:1
#SBATCH -c 16
#SBATCH -t 4:00:00
cd ${SLURM_SUBMIT_DIR}
docker build -t of3 -f Dockerfile .
docker run --rm --device /dev/kfd --device /dev/dri -v $PWD:/w of3 python run_openfold.py predict --query_json /w/q.json --output_dir /w/out
