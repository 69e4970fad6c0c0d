"""Tests of the programs without Slurm."""
