"""A Slurm in simulated time: a model of plain Slurm, and hetd's own cycle on the same model."""
