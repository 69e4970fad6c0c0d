#CMD-ONLY: srun --nodes=1 --ntasks=1 --cpus-per-task=7 --gpus-per-node=mi250x:1 --time=0:30:00 --pty bash -l
