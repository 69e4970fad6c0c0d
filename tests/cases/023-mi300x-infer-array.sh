#!/bin/bash
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --qos=gpu
#SBATCH --gres=gpu:mi300x:1
#SBATCH --cpus-per-task=32
#SBATCH --mem=128gb
#SBATCH --array=7-8
#SBATCH --time=02:00:00
module load miniconda3
source $EBROOTMINICONDA3/etc/profile.d/conda.sh
conda activate llama_factory_rocm
python models/stage1_infer_and_save.py --model_dir models/mistral --rank ${SLURM_ARRAY_TASK_ID}
