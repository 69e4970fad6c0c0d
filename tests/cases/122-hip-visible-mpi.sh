#!/bin/bash
#SBATCH -N 1
#SBATCH -n 4
#SBATCH --gres=gpu:4
#SBATCH -t 4:00:00
cat > wrap.sh <<'EOF'
#!/bin/bash
export HIP_VISIBLE_DEVICES=$SLURM_LOCALID
exec ./climatology "$@"
EOF
chmod +x wrap.sh
srun ./wrap.sh -i era5.nc -o clim.nc
