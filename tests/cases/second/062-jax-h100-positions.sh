#!/bin/bash
#SBATCH --time=03:00:00
#SBATCH --nodes=1
#SBATCH --gpus=1
#SBATCH --constraint="a100|h100|h200|b300"
module load mamba
module load gcc/12.3.0
source activate environment
srun python src/generate_positions.py --run_type supervised --checkpoint_name m.pt --temperature 1.0 --steps 512
