#!/bin/bash
#SBATCH --ntasks=1
#SBATCH --job-name=nnunet
#SBATCH --gres=gpu:1
#SBATCH --container-image="registry.example:5005/org/nnunet-v2:pro-9"
export nnUNet_raw=/nnunet_data/nnUNet_raw
export nnUNet_n_proc_DA=16
nnUNetv2_train 999 3d_fullres 0 --npz
