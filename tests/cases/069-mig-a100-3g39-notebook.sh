#!/bin/bash
#SBATCH --job-name="jupyter"
#SBATCH --partition=gpu
#SBATCH --qos=gpu_short
#SBATCH --nodes=1
#SBATCH --ntasks=1
#SBATCH --mem=16G
#SBATCH --gres=gpu:nvidia_a100_3g.39gb:1
#SBATCH --time=04:15:00
module purge
module load python/anaconda
port=8890
ssh -N -f -R $port:localhost:$port login
jupyter-notebook --no-browser --port=$port
