"""The time limit of a task with --time-min, which is content with less than it asks for."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import replace
from math import inf

from slurm_het.core.backfill import Backfill
from slurm_het.core.model import Placement, Task
from slurm_het.core.reservations.axis import Opens
from slurm_het.core.reservations.reservation import Reservation, turn_of
from slurm_het.core.site_limits import UNLIMITED_MINUTES


def may_shorten(task: Task, pool: str, backfill: Backfill) -> bool:
    """Whether a task is content there with less than its limit, and is to get it."""
    if task.minutes is None or backfill.time_min_is_soft:
        return False
    whole = task.limit_in(pool)
    return whole is None or whole > task.minutes


def first_above(task: Task, placement: Placement, places: Iterable[Reservation]) -> float:
    """When the first of these starts that is above the task and needs one of its nodes; inf: none
    does."""
    above = (made for made in places if turn_of(made.task) < turn_of(task))
    there = frozenset(placement.nodes)
    starts = (made.start for made in above if not there.isdisjoint(made.placement.nodes))
    return min(starts, default=inf)


def longest_limit(
    task: Task, placement: Placement, until: float, now: float, opens: Opens
) -> int | None:
    """The longest time limit (minutes; None: none) with which one that may be shortened ends
    `until` then, and before what one of Slurm's reservations closes to it; its least at least."""
    whole, least = task.limit_in(placement.partition), task.minutes
    if least is None:
        return whole
    most = min(UNLIMITED_MINUTES if whole is None else whole, (until - now) / 60)

    def is_shut(minutes: int) -> bool:
        return opens(replace(task, minutes=minutes), placement.nodes, now) != now

    longer = range(least + 1, int(most) + 1)
    if longer and is_shut(longer[-1]) and not is_shut(least):
        longer = longer[: bisect_left(longer, True, key=is_shut)]
    limit = longer[-1] if longer else least
    return None if limit == UNLIMITED_MINUTES else limit
