"""`./dev bench mixes`: generated mixes of jobs in simulated time, plain Slurm beside slurm-het."""
