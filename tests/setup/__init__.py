"""Tests of the first configuration."""
