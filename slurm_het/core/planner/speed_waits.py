"""Who waits for a faster type of device, where the site lets tasks do so (speed_patience).

A task whose program is known to be faster on another type that it may use waits for that type, but
no longer than a part of the time by which it would end sooner there. With the whole of that time
its end is at most twice as far away as it would be without the wait: who rents skis until that has
cost as much as a pair of them pays at most twice what was needed (Karlin and others 1994).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from slurm_het.core.cluster.fit import could_ever_start, could_start
from slurm_het.core.cluster.inventory import Inventory
from slurm_het.core.jobs.paces import Paces, speeds_of
from slurm_het.core.model import Task
from slurm_het.core.reasons import Reason, WaitsForSpeed
from slurm_het.core.worth.speeds import Timing, devices_of, row_of


class SpeedWaits:
    """Keeps tasks off types that they wait to be spared of; `waits` says of whom, and why."""

    def __init__(self, room: Inventory, paces: Paces, patience: float, now: float) -> None:
        self.room, self.paces, self.patience, self.now = room, paces, patience, now
        self.waits: dict[str, Reason] = {}
        self._timings: dict[str, Timing | None] = {}

    def over(self, tasks: Iterable[Task]) -> Iterator[Task]:
        """The tasks; those that still wait, for the faster types alone."""
        for task in tasks:
            yield self._spared(task) if self.patience and _may_wait(task) else task

    def _spared(self, task: Task) -> Task:
        seconds = self._expected(task)
        best = min(seconds.values(), default=0.0)
        until = {
            name: task.since + self.patience * (there - best) for name, there in seconds.items()
        }
        slow = {name for name, at in until.items() if self.now < at}
        if not slow or not could_start(task, self.room):
            return task
        spared = replace(task, types=frozenset(seconds) - slow)
        if not could_ever_start(spared, self.room):
            return task
        if not could_start(spared, self.room):
            fast = tuple(sorted(seconds.keys() - slow))
            self.waits[task.key] = WaitsForSpeed(fast, min(until[name] for name in slow))
        return spared

    def _expected(self, task: Task) -> dict[str, float]:
        """In how many seconds it ends, by type of those that are here and known."""
        row = row_of(task.user, task.program, devices_of(task))
        if row not in self._timings:
            self._timings[row] = speeds_of((task,), self.paces).get(row)
        timing = self._timings[row]
        if timing is None:
            return {}
        here = {name for name, _ in self.room.grid.sizes if name in task.types}
        able = (n for n in here if could_ever_start(replace(task, types=frozenset({n})), self.room))
        return timing.seconds(task.minutes, able)


def _may_wait(task: Task) -> bool:
    """Whether something may be known of it: what the site says of a class has no run times."""
    return bool(task.program) and not task.job_class
