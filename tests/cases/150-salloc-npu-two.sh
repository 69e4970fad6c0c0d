#CMD-ONLY: salloc -N 1 --gres=npu:2 --cpus-per-task=16 --mem=64G --time=2:00:00
