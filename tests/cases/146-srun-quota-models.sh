#CMD-ONLY: srun --partition=moe --mpi=pmi2 --gres=gpu:1 -c 12 -n1 --ntasks-per-node=1 --job-name=m --kill-on-bad-exit=1 python hydit/modules/models.py
