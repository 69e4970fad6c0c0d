"""From an existing site to het.yaml and the lines for slurm.conf."""
