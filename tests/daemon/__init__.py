"""Tests of hetd without Slurm."""
