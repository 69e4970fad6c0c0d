"""Tests of slurm_het/core/cluster."""
