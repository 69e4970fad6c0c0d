#!/bin/bash
#SBATCH -N 1
#SBATCH --ntasks=8
#SBATCH --gpus-per-node=8
#SBATCH -t 4:00:00
cat > rank.sh << 'RANKEOF'
#!/bin/bash
source /opt/venv/bin/activate
export HSA_NO_SCRATCH_RECLAIM=1
export WORLD_SIZE=$SLURM_NPROCS
export RANK=$SLURM_PROCID
export HYDRAGNN_BACKEND=nccl
python3 hg_train_ddp.py
RANKEOF
chmod +x rank.sh
srun --ntasks=8 --gpus-per-node=8 --mpi=pmix --cpu-bind=none apptainer exec --rocm --bind "$PWD:$PWD" hydragnn.sif bash rank.sh
