#!/bin/bash
#SBATCH -J test                          # 作业名
#SBATCH -p compute                       # 分区
#SBATCH -N 1
#SBATCH -t 6:00:00
#SBATCH --gres=gpu:tesla_v100-pcie-32gb:1   # 一块卡
. $HOME/soft/miniconda3/etc/profile.d/conda.sh
conda activate base
python main.py
