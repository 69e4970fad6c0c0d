"""A real Slurm on this machine with emulated nodes, and the demonstration."""
