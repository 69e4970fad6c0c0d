"""For whom room was sought in vain: who asks for as much, for as long, need not be looked at."""

from __future__ import annotations

import math
from collections.abc import Callable

from slurm_het.core.model import Task

TRIED = 32
"""So many times room is sought in vain for one purpose in a cycle. Each costs some 10 ms on a large
cluster."""


def seconds_of(task: Task) -> float:
    """How long a task may run; for ever without a limit."""
    return math.inf if task.minutes is None else task.minutes * 60.0


Lasts = Callable[[Task], float]
"""How many seconds a task is taken to run."""


class InVain:
    """Tasks that get no room, and all that ask the same for as long or longer."""

    def __init__(self, lasts: Lasts = seconds_of) -> None:
        self.lasts = lasts
        self._least: dict[Task, float] = {}
        self._tries = 0

    def copy(self) -> InVain:
        """Another one that knows the same, and has had no try of its own."""
        other = InVain(self.lasts)
        other._least = dict(self._least)
        return other

    def __contains__(self, task: Task) -> bool:
        least = self._least.get(task.request) if self._least else None
        return least is not None and self.lasts(task) >= least

    def add(self, task: Task) -> None:
        """Note that a task gets none."""
        self._least[task.request] = self.lasts(task)
        self._tries += 1

    @property
    def enough(self) -> bool:
        """Whether so many were tried that it is time to stop."""
        return self._tries >= TRIED
