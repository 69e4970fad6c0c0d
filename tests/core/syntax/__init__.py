"""Tests of slurm_het/core/syntax."""
