"""What a job waited for: three parts that sum up to the wait."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slurm_het.core.jobs.wait_split import Waited, WaitSplit

EARLY = st.integers(0, 1000)


@pytest.mark.parametrize(
    ("waited", "parts"),
    [
        (Waited(100, 160, 200.4, 230), (60, 40, 30)),
        (Waited(100, 101, 200.4, 230), (0, 100, 30)),  # Slurm's own moment is no dependency
        (Waited(100, 101, 0.0, 230), (0, 130, 0)),  # plain Slurm started it
        (Waited(100, 0, 0.0, 230), (130, 0, 0)),  # held to its end
        (Waited(100, 9000, 0.0, 230), (130, 0, 0)),  # cancelled before its begin time
        (Waited(100, 160, 150.0, 230), (60, 0, 70)),  # released, then held
        (Waited(100, 100, 100.9, 100), (0, 0, 0)),
    ],
)
def test_the_parts(waited: Waited, parts: tuple[int, int, int]) -> None:
    assert waited.split() == WaitSplit(*parts)


@given(EARLY, EARLY, st.floats(0, 1000), EARLY)
def test_they_sum_up_to_the_wait_whatever_clocks_say(
    submitted: int, eligible: int, released: float, until: int
) -> None:
    split = Waited(submitted, eligible, released, until).split()
    assert min(split.before, split.queued, split.pinned) >= 0
    assert split.total == max(0, until - submitted)
