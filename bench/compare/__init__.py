"""`./dev compare`: the same cluster and submissions, once with plain Slurm and once with us."""
