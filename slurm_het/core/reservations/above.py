"""Who preempts others delays nobody above him that waits: as Slurm's backfill has it.

Slurm itself would: it sees what is released to a pool, and those above wait in the gate.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from slurm_het.core.cluster.inventory import Inventory
from slurm_het.core.cluster.pinned import Pin
from slurm_het.core.model import Placement, Snapshot, Task
from slurm_het.core.policy import Policy
from slurm_het.core.reservations.axis import Axis, Opens
from slurm_het.core.reservations.in_vain import affordable
from slurm_het.core.reservations.reservation import (
    Reservation,
    coming_free,
    keep_free,
    with_pins,
)
from slurm_het.core.reservations.time_min import first_above, longest_limit, may_shorten
from slurm_het.core.reservations.victims import Victim, without


class Above:
    """Those for whom nodes are kept: who is pinned ahead, and, one after the other in Slurm's
    order, the tasks that wait though they may preempt."""

    def __init__(
        self,
        snapshot: Snapshot,
        room: Inventory,
        pins: Sequence[Pin],
        policy: Policy,
        opens: Opens,
    ) -> None:
        self.room, self.opens, self.now = room, opens, snapshot.time
        self._kept = [Reservation(p.task, p.placement, p.start) for p in pins if p.start]
        self._backfill = snapshot.backfill
        self._coming = with_pins(coming_free(snapshot, policy), pins, room, snapshot.time)
        self._left = min(affordable(len(room.nodes)), self._backfill.jobs)
        self._taken = list(self._kept)
        self._axes: dict[frozenset[str], Axis] = {}
        self._waiting: list[tuple[Task, tuple[Victim, ...]]] = []

    def wait(self, task: Task, victims: Iterable[Victim]) -> None:
        """Note that a task waits though it may preempt those."""
        if self._left > 0 and self._backfill.keeps_for(task.priority, task.since, self.now):
            self._left -= 1
            self._waiting.append((task, tuple(victims)))

    def places(self) -> list[Reservation]:
        """Theirs who are pinned ahead, and the soonest of those that were noted: sought only where
        there is somebody who would preempt."""
        for task, victims in self._waiting:
            axis = self._axis(victims)
            made = None if axis.in_vain.enough_like(task) else axis.soonest(task)
            if made and self.now < made.start <= self.now + self._backfill.window_seconds:
                self._kept.append(made)
                self.take(made)
        self._waiting.clear()
        return self._kept

    def take(self, made: Reservation) -> None:
        """Have it known what a task takes, of whom nobody is kept off."""
        self._taken.append(made)
        for axis in self._axes.values():
            axis.take(made)

    def keep_off(self, task: Task, those: Iterable[Reservation]) -> Task:
        """The task, kept off the nodes of those of them that it would delay."""
        return keep_free((task,), those, self.room, self.now)[0]

    def limited(self, task: Task, placement: Placement, those: Iterable[Reservation]) -> Task:
        """The task with the time limit that it gets there: with --time-min less than all, if it
        would delay one of them."""
        pool = placement.partition
        if not may_shorten(task, pool, self._backfill):
            return task
        until = first_above(task, placement, those)
        limit = longest_limit(task, placement, until, self.now, self.opens)
        return task if limit == task.limit_in(pool) else task.limited(pool, limit)

    def _axis(self, victims: tuple[Victim, ...]) -> Axis:
        """What is free when, once these are gone."""
        gone = frozenset(job.key for victim in victims for job in victim.jobs)
        if gone not in self._axes:
            nodes = dict(self.room.nodes)
            for victim in victims:
                for name in victim.gives.keys() & nodes.keys():
                    nodes[name] = without(nodes[name], victim)
            coming = {
                name: tuple(one for one in there if one.key not in gone)
                for name, there in self._coming.items()
            }
            self._axes[gone] = axis = Axis(
                replace(self.room, nodes=nodes), coming, self.now, self.opens
            )
            for made in self._taken:
                axis.take(made)
        return self._axes[gone]
