#!/bin/bash
#SBATCH --gres=gpu:1
#SBATCH -t 1:00:00
nvidia-smi
sbatch <<EOF
#!/bin/bash
#HET vendors=amd
#SBATCH --container-image=rocm/pytorch:latest
python infer.py
EOF
python train.py
