"""The slowest cycles that are known stay short; in CPU seconds, and generously."""

from __future__ import annotations

import pytest

from bench.scale import policy
from bench.worst import CASES, Size, parts
from slurm_het.core.planner.pins import Pins
from slurm_het.core.planner.proposal import Memory


@pytest.mark.parametrize("name", CASES)
def test_no_case_takes_a_cycle_long(name: str) -> None:
    """A twentieth of the size that the benchmark has."""
    given, memory = CASES[name](Size(nodes=64, jobs=500)), Memory(Pins(0.0, 0.0))
    assert sum(seconds for _, seconds, _ in parts(given, policy(), memory)) < 2.0
