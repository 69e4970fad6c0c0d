"""Tests of what reads Slurm's records."""
