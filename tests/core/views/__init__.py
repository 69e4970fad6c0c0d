"""Tests of slurm_het/core/views."""
