#!/bin/bash
#SBATCH --job-name=lmp
#SBATCH --time=00:10:00
#SBATCH --partition=gpu
#SBATCH --qos=gpu
#SBATCH --gres=gpu:2
#SBATCH --ntasks=2
module load OpenMPI/4.1.4-GCC-12.2.0
export OMPI_MCA_btl=^openib
apptainer exec lmp_KK.sif mpiexec.openmpi -np $SLURM_NTASKS lmp -k on g 2 -sf kk -in example_2.lmp
