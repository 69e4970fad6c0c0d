#!/bin/bash
#SBATCH --job-name=dycore
#SBATCH --nodes=1
#SBATCH --gpus-per-node=1
#SBATCH --uenv=prgenv-gnu/7.2.3:2804
#SBATCH --view=default
#SBATCH --partition=mi300
set -Eeo pipefail
cd "${REPO_ROOT}"
./run_dycore --mesh r120
