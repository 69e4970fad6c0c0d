#!/bin/bash
#SBATCH --gres=gpu:1
#SBATCH -t 1:00:00
lighteval accelerate x y
axolotl train c.yml
