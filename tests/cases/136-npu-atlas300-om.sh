#!/bin/bash
#SBATCH -J om
#SBATCH --gres=gpu:1
#SBATCH -t 0:20:00
. /usr/local/Ascend/ascend-toolkit/set_env.sh
atc --model=resnet50.onnx --framework=5 --output=resnet50 --soc_version=Ascend310P3
python3 infer_acl.py --model resnet50.om --images ./val
