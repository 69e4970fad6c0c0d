#!/encs/bin/tcsh
#SBATCH -J cl-bench
#SBATCH --mem=50G
#SBATCH -p cl
#SBATCH -n 1
#SBATCH -c 8
#SBATCH --gres=gpu:amdgpu:1
#SBATCH --constraint=amdgpu
echo "START"
date
time srun ./cl-info
time srun ./main
