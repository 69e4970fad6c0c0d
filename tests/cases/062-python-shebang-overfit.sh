#!/usr/bin/env python
#SBATCH --mem=4000
#SBATCH --time=2-22:30
#SBATCH --array=1-6
#SBATCH --gres=gpu:1
import os
import torch
from torch import nn
model = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
opt = torch.optim.SGD(model.parameters(), lr=0.01)
for epoch in range(300):
    for x, y in loader(int(os.environ["SLURM_ARRAY_TASK_ID"])):
        opt.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        opt.step()
