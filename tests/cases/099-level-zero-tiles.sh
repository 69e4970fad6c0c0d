#!/bin/bash
#SBATCH -N 2
#SBATCH --ntasks-per-node=8
#SBATCH --gres=gpu:4
#SBATCH -t 1:00:00
cat > bind.sh <<'EOF'
#!/bin/bash
export ZE_FLAT_DEVICE_HIERARCHY=COMPOSITE
export ONEAPI_DEVICE_SELECTOR=level_zero:gpu
export ZE_AFFINITY_MASK=$((SLURM_LOCALID / 2)).$((SLURM_LOCALID % 2))
exec "$@"
EOF
chmod +x bind.sh
srun ./bind.sh ./app -in input.nml
