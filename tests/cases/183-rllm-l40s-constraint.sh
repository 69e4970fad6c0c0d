#!/bin/bash
#SBATCH --job-name=verl-ray
#SBATCH --partition=preempt
#SBATCH --nodes=1
#SBATCH --gres=gpu:4
#SBATCH --cpus-per-gpu=4
#SBATCH --mem-per-gpu=48G
#SBATCH --constraint=l40s
#SBATCH --time=7-00:00:00
unset ROCR_VISIBLE_DEVICES
unset HIP_VISIBLE_DEVICES
source ~/.bashrc && conda activate rllm
export VLLM_ATTENTION_BACKEND=FLASH_ATTN
python3 -m examples.train_math actor_rollout_ref.model.path=ckpt/init trainer.n_gpus_per_node=4 trainer.total_training_steps=300
