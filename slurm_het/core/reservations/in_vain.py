"""For whom room was sought in vain: who asks for as much, for as long, need not be looked at."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable

from slurm_het.core.model import Task

LOOKS, LEAST = 40_000, 32
"""To find its place a task looks at each node. So many looks may a cycle take for one purpose, that
is for 500 tasks on 80 nodes, as many as Slurm's backfill looks at where nothing is said; on 1,250
nodes and more for the LEAST. As many as on 80 would take seconds there."""


def affordable(nodes: int) -> int:
    """For how many tasks a place may be sought, on so many nodes."""
    return max(LEAST, LOOKS // max(1, nodes))


def seconds_of(task: Task) -> float:
    """How long a task may run; for ever without a limit."""
    return math.inf if task.minutes is None else task.minutes * 60.0


Lasts = Callable[[Task], float]
"""How many seconds a task is taken to run."""


class InVain:
    """Tasks that get no room, and all that ask the same for as long or longer.

    `most` may be tried of those of the same pools: those of another pool wait for other nodes.
    """

    def __init__(self, most: int, lasts: Lasts = seconds_of) -> None:
        self.lasts, self.most = lasts, most
        self._least: dict[Task, float] = {}
        self._tries = Counter[tuple[str, ...]]()

    def copy(self) -> InVain:
        """Another one that knows the same, and has had no try of its own."""
        other = InVain(self.most, self.lasts)
        other._least = dict(self._least)
        return other

    def __contains__(self, task: Task) -> bool:
        least = self._least.get(task.request) if self._least else None
        return least is not None and self.lasts(task) >= least

    def add(self, task: Task) -> None:
        """Note that a task gets none."""
        self._least[task.request] = self.lasts(task)
        self._tries[task.pools] += 1

    def enough_like(self, task: Task) -> bool:
        """Whether so many were tried of the same pools that it is time to stop."""
        return self._tries[task.pools] >= self.most
