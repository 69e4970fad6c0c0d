"""When and where the waiting jobs start, as far as that is known: `squeue --start`'s answer."""

from __future__ import annotations

import math
from dataclasses import replace

from slurm_het.core.jobs.task_pools import is_gated
from slurm_het.core.planner.proposal import Prepared
from slurm_het.core.reservations.expected import expect
from slurm_het.core.reservations.reservation import Reservation
from slurm_het.core.views.job_rows import Expected, JobRow, View


def with_starts(view: View) -> View:
    """The view of which each waiting row says when its job starts at the latest, and where.

    Of what waits in the gate it is what the look ahead finds, unless the gate is open; of the rest,
    Slurm's own expectation. A time that has passed is none. Of an array, its first task speaks.
    """
    prepared = view.prepared
    found = {} if view.intake == "UP" else starts_of(prepared)
    keys: dict[int, str] = {}
    for task in prepared.queue.tasks:
        keys.setdefault(task.job_id, task.key)

    def expected(row: JobRow) -> Expected | None:
        made = found.get(keys.get(row.job.id, row.job.key))
        if made:
            return Expected(made.start, made.placement.partition, made.placement.nodes)
        gated = is_gated(row.job, prepared.policy) and view.intake != "UP"
        if gated or row.job.start_time <= prepared.snapshot.time:
            return None
        return Expected(row.job.start_time, row.job.partition)

    rows = (replace(row, expected=expected(row)) if row.waits else row for row in view.rows)
    return replace(view, rows=tuple(rows))


def starts_of(prepared: Prepared) -> dict[str, Reservation]:
    """By key, when and where the tasks start at the latest: the released ones, those that nodes are
    kept for, and the first of the others in Slurm's order. Nothing is known of those at a limit.
    """
    now, ahead = prepared.snapshot.time, prepared.ahead
    waiting = (task for task in prepared.queue.tasks if task.key not in prepared.held)
    found = expect(waiting, ahead.reservations, ahead.axis.copy())
    released = (pin for pin in prepared.pins if not (pin.start or pin.in_line))
    at_once = {pin.task.key: Reservation(pin.task, pin.placement, now) for pin in released}
    return {key: made for key, made in (at_once | found).items() if made.start < math.inf}
