"""Slurm's C library by pyslurm, in a process of its own: a fault of either ends only that one."""
