"""slurm-het: schedules AI accelerators of many vendors on an unpatched Slurm."""
