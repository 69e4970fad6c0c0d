"""Tests of the pure core, room by room."""
