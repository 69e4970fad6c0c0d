"""Tests of slurm_het/core/worth."""
