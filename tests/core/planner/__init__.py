"""Tests of slurm_het/core/planner."""
