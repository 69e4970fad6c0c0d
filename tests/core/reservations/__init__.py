"""Tests of slurm_het/core/reservations."""
