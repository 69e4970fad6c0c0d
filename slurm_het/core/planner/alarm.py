"""When something happens next that no event tells of: a job may begin, or may be preempted, or its
nodes are done with it."""

from __future__ import annotations

from collections.abc import Iterator

from slurm_het.core.cluster.preemptable import Rules
from slurm_het.core.jobs.task_pools import awaited_in, is_gated
from slurm_het.core.planner.proposal import Prepared

COMPLETING_LEAST = 0.5
"""Slurm says that a job ends when its nodes' Epilogs begin. So many seconds later they may be done;
if not, it is looked again when they have taken twice as long."""


def next_change(prepared: Prepared) -> float | None:
    """Epoch seconds; None if nothing is known to happen.

    Plain Slurm would look by itself then, and a job should not wait longer for us.
    """
    now = prepared.snapshot.time
    return min((at for at in _changes(prepared) if at > now), default=None)


def _changes(prepared: Prepared) -> Iterator[float]:
    snapshot = prepared.snapshot
    awaited = awaited_in(snapshot, prepared.policy)
    for job in snapshot.jobs:
        if is_gated(job, prepared.policy):
            yield job.eligible_time
        elif job.state == "COMPLETING" and (prepared.queue.tasks or job in awaited):
            yield snapshot.time + max(COMPLETING_LEAST, snapshot.time - job.end_time)
    if snapshot.preemption.by and (prepared.queue.tasks or prepared.pins):
        rules = Rules.of(snapshot)
        yield from (rules.preemptable_at(job) for job in snapshot.jobs if job.state == "RUNNING")
