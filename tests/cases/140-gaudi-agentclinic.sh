#!/usr/bin/env bash
#SBATCH --partition=gaudi
#SBATCH --gres=gpu:hl225:2
#SBATCH --cpus-per-task=8
#SBATCH --mem=60G
#SBATCH --time=24:00:00
export PT_HPU_WEIGHT_SHARING=0
/usr/bin/apptainer exec /containers/vllm-gaudi.sif vllm serve Qwen/Qwen2.5-VL-7B-Instruct -tp 2 --port 8000 &
until curl -sf localhost:8000/health; do sleep 10; done
python agentclinic.py --doctor_llm local --patient_llm local --num_scenarios 50
