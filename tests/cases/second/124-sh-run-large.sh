#!/bin/bash
#SBATCH -J FlowER_train
#SBATCH -p mi3001x
#SBATCH -N 1
#SBATCH --gres=gpu:1
export REPO_DIR="/home1/me/FlowER"
cd "$REPO_DIR"
source .flower/bin/activate
[ -f "$REPO_DIR/run_large.sh" ] || { echo "none"; exit 1; }
sh "$REPO_DIR/run_large.sh"
