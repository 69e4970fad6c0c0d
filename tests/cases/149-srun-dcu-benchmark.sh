#CMD-ONLY: srun -p test -N 1 -n 1 --cpus-per-task=4 --gres=dcu:1 ./rocfft-bench --length 524288 --precision double
