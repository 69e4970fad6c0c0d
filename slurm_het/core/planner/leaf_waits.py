"""Who waits to be under one leaf switch (--switches=1), and whose wait is over.

As under Slurm, the time counts from when a task could start first, but not there. A hetd that is
new begins to count anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from slurm_het.core.cluster.fit import could_ever_start, could_start, waits_for_a_leaf
from slurm_het.core.cluster.inventory import Inventory
from slurm_het.core.cluster.pinned import Pin
from slurm_het.core.model import Task


@dataclass
class LeafWaits:
    """Since when (ticks) tasks wait for one leaf switch, by key."""

    since: dict[str, float] = field(default_factory=dict)

    def over(
        self, tasks: Iterable[Task], pins: Iterable[Pin], ticks: float, room: Inventory
    ) -> tuple[Task, ...]:
        """The tasks; those that have waited long enough, or for what no switch has, may start
        under several. The `pins` of those who wait are remembered."""
        pinned = {pin.task.key for pin in pins}
        tasks = tuple(tasks)
        waiting = {task.key for task in tasks if task.leaf_patience is not None}
        self.since = {k: at for k, at in self.since.items() if k in waiting or k in pinned}
        if not waiting:
            return tasks
        return tuple(self._over(tasks, ticks, room))

    def _over(self, tasks: Iterable[Task], ticks: float, room: Inventory) -> Iterator[Task]:
        for task in tasks:
            if task.leaf_patience is None or could_start(task, room):
                yield task
                continue
            if waits_for_a_leaf(task, room):
                self.since.setdefault(task.key, ticks)
            since = self.since.get(task.key)
            waited = since is not None and ticks - since >= task.leaf_patience
            may_spread = waited or not could_ever_start(task, room)
            yield replace(task, leaf_patience=None) if may_spread else task
