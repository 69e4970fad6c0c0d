#!/bin/bash
#SBATCH --ntasks=1
#SBATCH --gpus-per-task=1
#SBATCH --container-image="registry.example:5005#org/slide2vec:v1.3.0"
export HF_HOME="/tmp"
/usr/sbin/sshd -D -p 8789
