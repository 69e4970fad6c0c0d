#CMD-ONLY: srun --gres=gpu:1 --pty bash
