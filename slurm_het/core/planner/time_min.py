"""A task with --time-min gets the time that there is until the first who waits starts there.

It is planned with its least time. Slurm itself shortens such a job in its backfill alone (sources
of 22.05, 24.11 and 26.05): one that its main scheduler starts on the nodes that it is given has all
of its limit.
"""

from __future__ import annotations

from dataclasses import replace

from slurm_het.core.model import Placement, Task
from slurm_het.core.planner.proposal import Prepared


def in_time(task: Task, placement: Placement, prepared: Prepared) -> Task:
    """The task as it is to be released there."""
    limits = dict(task.time_limits)
    if task.minutes is None or placement.partition not in limits:
        return task
    whole = limits[placement.partition]
    if whole is not None and whole <= task.minutes:
        return task
    starts = [
        made.start
        for made in prepared.ahead.reservations
        if made.task.key != task.key and not set(made.placement.nodes).isdisjoint(placement.nodes)
    ]
    if place := prepared.shield.delayed_by(replace(task, minutes=whole), placement):
        starts.append(place.start)
    if not starts:
        return task
    there_is = int((min(starts) - prepared.snapshot.time) // 60)
    if whole is not None and whole <= there_is:
        return task
    limits[placement.partition] = max(task.minutes, there_is)
    return replace(task, time_limits=tuple(limits.items()))
