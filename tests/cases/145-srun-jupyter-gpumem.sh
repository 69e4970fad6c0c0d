#CMD-ONLY: srun --job-name jupyter --gpus=1 --gres=gpumem:16G --time 06:00:00 bash -c 'jupyter notebook --ip $(hostname -i) --no-browser'
