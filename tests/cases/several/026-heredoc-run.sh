#!/bin/bash
#SBATCH --gres=gpu:1
#SBATCH -t 1:00:00
cat > $TMPDIR/rank.sh <<EOF
export MIOPEN_USER_DB_PATH=/tmp
exec python train.py
EOF
chmod +x $TMPDIR/rank.sh && srun ${TMPDIR}/rank.sh
