"""From a job as Slurm has it to a task that can be planned."""
