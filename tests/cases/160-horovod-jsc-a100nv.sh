#!/bin/sh
#SBATCH --time=24:00:00
#SBATCH --comment=pytorch
#SBATCH -p amd_a100nv_8
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=8
#SBATCH --gres=gpu:8
#SBATCH --cpus-per-task=4
module load gcc/10.2.0 cuda/11.4 cudampi/openmpi-4.1.1
source ~/.bashrc
conda activate horovod
srun python tf_keras_fashion_mnist.py
