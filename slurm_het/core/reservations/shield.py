"""Who starts now does not delay those above him that must wait: as Slurm's backfill has it.

Slurm protects the tasks that are pinned ahead, on their nodes as a whole. The next ones are not in
Slurm's sight: they are given their places on the time axis, and a task below them starts only where
what it takes is theirs to spare.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import NamedTuple

from slurm_het.core.cluster.fit import could_ever_start, could_start, fitting_states, grid_for
from slurm_het.core.model import Task
from slurm_het.core.policy import Limits
from slurm_het.core.reasons import All, Kept, Reason
from slurm_het.core.reservations.axis import Axis
from slurm_het.core.reservations.reservation import Reservation


class _Alike(NamedTuple):
    """What holds of all tasks that ask alike, until the next place is given.

    `off` are the nodes where such a task has room now, that others want before its end. It `starts`
    in spite of that; and only `on_theirs`, if there is room for it only where others have places.
    """

    off: frozenset[str]
    starts: bool
    on_theirs: bool


class Shield:
    """To be asked of the tasks in Slurm's priority order, one after the other.

    `reservations` are those that nodes are kept for; `tasks` are the same before they were kept
    off any: what is closed now may be open then. `kept` says, by key, of the tasks that only
    others' places hold back, whose these are.
    """

    def __init__(
        self, axis: Axis, reservations: Iterable[Reservation], tasks: Iterable[Task], limits: Limits
    ) -> None:
        self.axis, self.room = axis.copy(), axis.room
        self.kept: dict[str, Reason] = {}
        self._left, self._patience = limits.protected, limits.reserve_after_seconds
        self._tasks = {task.key: task for task in tasks}
        self._owners: dict[str, list[Reservation]] = {}
        self._in_vain: set[Task] = set()
        self._reserved: set[str] = set()
        self._known: dict[tuple[Task, int | None], _Alike] = {}
        for made in reservations:
            self.axis.take(made, whole_nodes=True)
            self._reserved.add(made.task.key)

    def keep_off(self, task: Task) -> Task:
        """The task, kept off the nodes where it would delay others; if it has to wait, it gets its
        own place."""
        if could_start(task, self.room):
            return self._start(task) if self._owners else task
        late = task.since + self._patience <= self.axis.now
        if late and self._left > 0 and task.key not in self._reserved:
            self._protect(self._tasks.get(task.key, task))
        return task

    def _protect(self, task: Task) -> None:
        request = task.request
        if request in self._in_vain or not could_ever_start(task, self.room):
            return
        made = self.axis.soonest(task)
        if made is None:
            self._in_vain.add(request)
            return
        self._left -= 1
        self._take(made)
        for name in made.placement.nodes:
            self._owners.setdefault(name, []).append(made)

    def _start(self, task: Task) -> Task:
        known = self._know(task)
        if known.off:
            task = replace(task, exc_nodes=task.exc_nodes | known.off)
        if not known.starts:
            self.kept[task.key] = self._reason(known.off)
        elif known.on_theirs:  # what it takes, the next ones cannot have
            made = self.axis.soonest(task)
            if made and made.start <= self.axis.now:
                self._take(made)
        return task

    def _know(self, task: Task) -> _Alike:
        like = task.request, task.minutes
        if like not in self._known:
            grid = grid_for(task, self.room)
            fits = set(fitting_states(task, grid))
            mine = [n for n in self._owners if grid.state_of[n] in fits and n not in task.exc_nodes]
            off = frozenset(name for name in mine if self.axis.is_wanted(task, name))
            self._known[like] = _Alike(
                off,
                not off or could_start(replace(task, exc_nodes=task.exc_nodes | off), self.room),
                not could_start(replace(task, exc_nodes=task.exc_nodes.union(mine)), self.room),
            )
        return self._known[like]

    def _take(self, made: Reservation) -> None:
        self.axis.take(made)
        self._known.clear()

    def _reason(self, off: frozenset[str]) -> Reason:
        nodes: dict[tuple[str, float], list[str]] = {}
        for name in sorted(off):
            first = min(self._owners[name], key=lambda made: made.start)
            nodes.setdefault((first.task.key, first.start), []).append(name)
        reasons = tuple(Kept(tuple(names), *owner) for owner, names in nodes.items())
        return reasons[0] if len(reasons) == 1 else All(reasons)
