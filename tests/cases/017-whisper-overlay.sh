#!/bin/bash
#SBATCH --nodes=3
#SBATCH --ntasks-per-node=2
#SBATCH --cpus-per-task=1
#SBATCH --time=2:00:00
#SBATCH --mem-per-cpu=60GB
#SBATCH --gres=gpu
module purge
singularity exec --nv --overlay /scratch/env.ext3:ro /scratch/cuda11.6-ubuntu20.04.sif \
    /bin/bash -c "source /ext3/env.sh; python whisper_transcribe.py --audio_dir in"
