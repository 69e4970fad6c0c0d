#!/bin/bash
#SBATCH --job-name=refine3d
#SBATCH --ntasks=5
#SBATCH --cpus-per-task=6
#SBATCH --gres=gpu:4
#SBATCH --no-requeue
export OMP_NUM_THREADS=$SLURM_CPUS_PER_TASK
/usr/bin/nvidia-smi
module load openmpi/4.1.4
module load intel-oneapi-mkl/2022.2.1
module load relion/gpu/3.1.3+intel
srun --mpi=pmix -n $SLURM_NTASKS $(which relion_refine_mpi) --i particles.star --o Refine3D/job01/run --auto_refine --gpu
