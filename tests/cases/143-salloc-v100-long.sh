#CMD-ONLY: salloc --gres=gpu:v100:8 --time=300:00:00 --mem 128g --cpus-per-task=32 --partition=batch
