"""When and where the waiting jobs start, as far as that is known: `squeue --start`'s answer."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import takewhile

from slurm_het.core.assignment.first_fit import greedy
from slurm_het.core.jobs.task_pools import is_gated
from slurm_het.core.model import Job, Plan, Task
from slurm_het.core.planner.build_problem import Hurry, never
from slurm_het.core.planner.proposal import Prepared, decide
from slurm_het.core.reservations.axis import Axis
from slurm_het.core.reservations.expected import MOST, expect
from slurm_het.core.reservations.reservation import Reservation, turn_of
from slurm_het.core.views.job_rows import Expected, JobRow, View
from slurm_het.core.worth.forecast import Forecast

Turn = tuple[float, float]
LAST: Turn = math.inf, math.inf
NOTHING: Mapping[str, float] = {}
NOT_AMONG = f"no time is worked out but for the first {MOST}"
NEVER_FREE = "no time is known: jobs without a time limit hold what it needs"
TOO_LATE = "no time is known at which it could start and keep to its deadline"
GATE_OPEN = "while the gate is open Slurm alone knows"


def with_starts(view: View, likely: Mapping[str, float] = NOTHING) -> View:
    """The view of which each waiting row says when its job starts at the latest, and where; or why
    that is not known.

    Of what waits in the gate it is what the look ahead finds, unless the gate is open; of the rest,
    Slurm's own expectation. A time that has passed is none. Of an array, its first task speaks.
    `likely` is when tasks probably start, by key, as hetd tells.
    """
    teller = _Teller(view, likely)
    return replace(view, rows=tuple(map(teller.told, view.rows)))


class _Teller:
    """Says of each row of a view when its job starts, or why that is not known."""

    def __init__(self, view: View, likely: Mapping[str, float]) -> None:
        self.likely = likely
        self.prepared = prepared = view.prepared
        self.open = view.intake == "UP"
        self.found = {} if self.open else starts_of(prepared)
        self.keys: dict[int, str] = {}
        for task in prepared.queue.tasks:
            self.keys.setdefault(task.job_id, task.key)
        waiting = [t.key for t in prepared.queue.tasks if t.key not in prepared.held]
        self.why_not = dict.fromkeys(waiting, NOT_AMONG)
        self.why_not |= dict.fromkeys(waiting[:MOST], NEVER_FREE)

    def told(self, row: JobRow) -> JobRow:
        """The row, with that."""
        if not row.waits:
            return row
        key = self.keys.get(row.job.id, row.job.key)
        expected = self._expected(row.job, key)
        return replace(row, expected=expected, untold="" if expected else self._why_not(row, key))

    def _expected(self, job: Job, key: str) -> Expected | None:
        if made := self.found.get(key):
            likely, where = self.likely.get(key), made.placement
            if likely is not None:  # hetd told it some time ago
                likely = min(made.start, max(likely, self.prepared.snapshot.time))
            return Expected(made.start, where.partition, where.nodes, likely)
        if self._gated(job) or job.start_time <= self.prepared.snapshot.time:
            return None
        if not job.meets_deadline(job.start_time):
            return None
        return Expected(job.start_time, job.partition)

    def _gated(self, job: Job) -> bool:
        return is_gated(job, self.prepared.policy) and not self.open

    def _why_not(self, row: JobRow, key: str) -> str:
        """Most reasons say by themselves why no time is known."""
        if self.open and is_gated(row.job, self.prepared.policy):
            return GATE_OPEN
        if row.code in {"never", "no-node"}:
            return row.reason
        why, job = self.why_not.get(key, row.reason), row.job
        told = job.start_time > self.prepared.snapshot.time and not self._gated(job)  # by Slurm
        return TOO_LATE if job.deadline and (told or why == NEVER_FREE) else why


def starts_of(
    prepared: Prepared, hurry: Hurry = never, plan: Plan | None = None
) -> dict[str, Reservation]:
    """By key, when and where the tasks start at the latest: the released ones, those that nodes are
    kept for, and the first of the others in Slurm's order, until `hurry` says so.

    Those that `plan` starts take their places first; without one, those that first-fit would start.
    Nothing is known of those at a limit, nor of those that would not end before their deadline:
    Slurm does not start them then, though it tells that time itself.
    """
    in_time = takewhile(lambda _: not hurry(), prepared.queue.tasks)
    found = given_places(prepared, in_time, prepared.ahead.axis.copy(), plan)
    now = prepared.snapshot.time
    released = (pin for pin in prepared.pins if not (pin.start or pin.in_line))
    at_once = {pin.task.key: Reservation(pin.task, pin.placement, now) for pin in released}
    due = {job.id: job for job in prepared.snapshot.jobs if job.deadline}
    return {
        key: made
        for key, made in (at_once | found).items()
        if made.start < math.inf
        and not ((job := due.get(made.task.job_id)) and not job.meets_deadline(made.start))
    }


def given_places(
    prepared: Prepared,
    tasks: Iterable[Task],
    axis: Axis,
    plan: Plan | None = None,
    before: Turn = LAST,
) -> dict[str, Reservation]:
    """By key, the places that these tasks get on the axis, and those for whom nodes are kept: first
    who starts by `plan`, or by first-fit, as far as he comes `before` that turn.

    Whom a limit holds back gets none.
    """
    plan = plan or decide(prepared, Forecast(), greedy)
    at_once = (made for made in started_by(plan, prepared) if turn_of(made.task) < before)
    waiting = (task for task in tasks if task.key not in prepared.held)
    return expect(waiting, prepared.ahead.reservations, axis, at_once=at_once)


def started_by(plan: Plan, prepared: Prepared) -> Iterator[Reservation]:
    """The places of those that start by that plan, with their time limits there."""
    window, now = {task.key: task for task in prepared.window}, prepared.snapshot.time
    for placement in plan.placements:
        if task := window.get(placement.key):
            limit = plan.as_placed(task, placement).limit_in(placement.partition)
            yield Reservation(replace(task, minutes=limit), placement, now)


def waiting_starts(prepared: Prepared, plan: Plan, hurry: Hurry = never) -> dict[str, float]:
    """By key, when those start at the latest (epoch seconds) that wait after that plan: in the
    gate, or for nodes that are not free yet."""
    waits = {task.key for task in prepared.queue.tasks}
    waits |= {made.task.key for made in prepared.ahead.reservations}
    waits -= {placement.key for placement in plan.placements}
    found = starts_of(prepared, hurry, plan)
    return {key: made.start for key, made in found.items() if key in waits}
