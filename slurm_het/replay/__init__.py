"""A site's own past once more: read from its accounting, under plain Slurm and with slurm-het."""
