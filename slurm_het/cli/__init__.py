"""The programs that people run: het-squeue and slurm-het."""
