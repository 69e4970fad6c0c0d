"""What Slurm and its users write, read and written: GRES, host lists, constraints, scripts."""
