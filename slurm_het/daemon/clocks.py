"""The two clocks of hetd."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Clocks:
    """`wall` tells epoch seconds, as Slurm does; `ticks` are seconds that never go back, by which
    is measured for how long something waits."""

    wall: Callable[[], float] = time.time
    ticks: Callable[[], float] = time.monotonic
