"""A plan keeps Slurm's order: nobody starts who would delay one above him."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import replace

from slurm_het.core.model import Placement, Plan, Task
from slurm_het.core.reasons import AtLimit, Kept, OutOfTime, Reason
from slurm_het.core.reservations.reservation import Reservation, turn_of
from slurm_het.core.reservations.shield import Shield


def in_order(made: Plan, window: Iterable[Task], shield: Shield) -> Plan:
    """The plan without those who would delay one above them.

    While tasks are chosen, `shield` has to guess where those will start that are above one who
    waits; and who can start alone, but not beside those above him, is found out by the plan alone.
    So it is asked anew, now that it is known who starts where: each that waits has the place that
    is free for him soonest beside those above him, and who comes after him starts where that is not
    needed, or ends before. Whom this holds back the next plan may start elsewhere. With --time-min
    he gets the time that there is.
    """
    placed = {placement.key: placement for placement in made.placements}
    startable = {task.key: task for task in window}
    blocked = {one.task.key: one.task for one in shield.given}
    tasks = sorted((startable | blocked).values(), key=turn_of)
    for_less = any(shield.may_shorten(startable[p.key], p.partition) for p in made.placements)
    if not (for_less or _is_out_of_order(tasks, startable, placed)):
        return made
    shield = shield.anew()
    behind: dict[str, Reason] = {}
    shortened: dict[str, int] = {}
    for task in tasks:
        placement = placed.get(task.key)
        owner = shield.delayed_by(task, placement) if placement else None
        if placement and not owner:
            limit = shield.limit_for(task, placement)
            if limit is not None and limit != task.limit_in(placement.partition):
                shortened[task.key] = limit
            given = replace(task, minutes=limit)
            shield.take(Reservation(given, placement, shield.axis.now))
            continue
        if owner:
            behind[task.key] = Kept(owner.placement.nodes, owner.task.key, owner.start)
        # Who has room now and is not placed is held back by what no look ahead knows: he keeps
        # nobody off. But who was placed on another's place may have room elsewhere.
        place = shield.soonest(task) if owner or _waits_for_room(made, task) else None
        if place and (owner or place.start > shield.axis.now):
            shield.give_place(place)
    left = tuple(placement for placement in made.placements if placement.key not in behind)
    waiting = {**made.waiting, **behind}
    return replace(made, placements=left, waiting=waiting, shortened=shortened)


def _is_out_of_order(
    tasks: Iterable[Task], startable: Container[str], placed: Mapping[str, Placement]
) -> bool:
    """Whether one that is not placed comes before one that is, in a pool of both. Those before the
    first that could start have their right places: nobody below them was let onto these."""
    pools: set[str] = set()
    any_could_start = False
    for task in tasks:
        any_could_start |= task.key in startable
        if task.key in placed:
            if not pools.isdisjoint(task.pools):
                return True
        elif any_could_start:
            pools.update(task.pools)
    return False


def _waits_for_room(made: Plan, task: Task) -> bool:
    """Whether neither a limit nor the plan's time holds it back, nor is it one of Slurm's."""
    held = isinstance(made.waiting.get(task.key), AtLimit | OutOfTime)
    return not held and not task.reservation
