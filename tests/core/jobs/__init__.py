"""Tests of slurm_het/core/jobs."""
