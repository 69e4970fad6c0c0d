"""A plan keeps Slurm's order: who could start alone, and finds no room beside those above him."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from slurm_het.core.model import Placement, Plan, Task
from slurm_het.core.reasons import AtLimit, Kept, OutOfTime, Reason
from slurm_het.core.reservations.axis import Axis
from slurm_het.core.reservations.in_vain import seconds_of
from slurm_het.core.reservations.look_ahead import soonest_start
from slurm_het.core.reservations.reservation import Reservation, turn_of


def in_order(
    made: Plan, window: Iterable[Task], axis: Axis, reservations: Iterable[Reservation]
) -> Plan:
    """The plan without those who would delay one above them.

    Nodes are kept for who cannot start now. Who can start alone, but not beside those above him,
    is found out by the plan alone, so nothing is kept for him before the next look. Until then the
    first such task of each pool has the place that is free for it soonest: who comes after it
    starts where that is not needed, or ends before. `axis` says what is free when, of which the
    `reservations` have theirs.
    """
    placed = {placement.key: placement for placement in made.placements}
    tasks = sorted(window, key=turn_of)
    if not _is_out_of_order(tasks, placed):
        return made
    axis = axis.copy()
    for reservation in reservations:
        axis.take(reservation, whole_nodes=True)
    kept: list[Reservation] = []
    behind: dict[str, Reason] = {}
    for task in tasks:
        placement = placed.get(task.key)
        if placement is None:
            if _waits_for_room(made, task) and not any(_share_pools(task, r.task) for r in kept):
                place = soonest_start(axis, task)
                if place and place.start > axis.now:
                    axis.take(place)
                    kept.append(place)
        elif owner := next((r for r in kept if _delays(task, placement, r, axis)), None):
            behind[task.key] = Kept(owner.placement.nodes, owner.task.key, owner.start)
        else:
            axis.take(Reservation(task, placement, axis.now))
    if not behind:
        return made
    left = tuple(placement for placement in made.placements if placement.key not in behind)
    return replace(made, placements=left, waiting={**made.waiting, **behind})


def _is_out_of_order(tasks: list[Task], placed: Mapping[str, Placement]) -> bool:
    """Whether one that is not placed comes before one that is, in a pool of both."""
    pools: set[str] = set()
    for task in tasks:
        if task.key not in placed:
            pools.update(task.pools)
        elif not pools.isdisjoint(task.pools):
            return True
    return False


def _waits_for_room(made: Plan, task: Task) -> bool:
    """Whether neither a limit nor the plan's time holds it back, nor is it one of Slurm's."""
    held = isinstance(made.waiting.get(task.key), AtLimit | OutOfTime)
    return not held and not task.reservation


def _share_pools(task: Task, other: Task) -> bool:
    return not set(task.pools).isdisjoint(other.pools)


def _delays(task: Task, placement: Placement, kept: Reservation, axis: Axis) -> bool:
    """Whether a task that starts now would be on what a place needs."""
    shared = set(placement.nodes).intersection(kept.placement.nodes)
    return any(axis.room_until(task, name) < axis.now + seconds_of(task) for name in shared)
