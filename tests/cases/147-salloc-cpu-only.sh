#CMD-ONLY: salloc -N 1 -n 16 --mem=64G -t 4:00:00 -p interactive
