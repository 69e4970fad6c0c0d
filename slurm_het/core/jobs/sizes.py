"""How much memory of a device a user's program needs, learned from its runs (`memory=auto`)."""

from __future__ import annotations

import math

from slurm_het.core.measured import MIB

LEAST_RUNS = 3
"""From fewer runs nothing is learned: the program gets a whole device."""
MOST_RUNS = 32
"""So many runs are remembered, the newest ones: a program changes."""
QUANTILE = 0.99
HEADROOM = 1.15
"""So much more is asked for: what it needs is read every few seconds, and grows between."""


def with_run(peaks: tuple[int, ...], mib: int) -> tuple[int, ...]:
    """The runs that are remembered after one more, which took so much at its peak."""
    return (*peaks, mib)[-MOST_RUNS:]


def size_of_runs(peaks: tuple[int, ...]) -> int:
    """The GiB that the next run is given; 0 where too few runs are known."""
    if len(peaks) < LEAST_RUNS:
        return 0
    ordered = sorted(peaks)
    peak = ordered[math.ceil(QUANTILE * len(ordered)) - 1]
    return max(1, math.ceil(peak * HEADROOM / MIB))
