"""When the waiting tasks probably start: as users' programs usually end, not as their limits do.

What is told this way is a forecast. Nobody is kept waiting or let past anybody for it: who is
pinned ahead, and who may start before him, goes by the limits, as in Slurm.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import takewhile

from slurm_het.core.jobs.mark import MARK, decode_comment
from slurm_het.core.jobs.paces import LIKELY, Paces, part_by, parts_of
from slurm_het.core.model import Job, Snapshot, Task
from slurm_het.core.planner.build_problem import Hurry, never
from slurm_het.core.planner.proposal import Prepared
from slurm_het.core.reservations.expected import expect
from slurm_het.core.reservations.reservation import ComingFree


class UsualParts:
    """The parts of their limits that users' programs took, looked up once for each."""

    def __init__(self, paces: Paces) -> None:
        self.paces = paces
        self._known: dict[tuple[str, str], tuple[float, ...]] = {}

    def of(self, user: str, program: str) -> Sequence[float]:
        """Those of one program, sorted; none if it is not known."""
        if not program:
            return ()
        if (user, program) not in self._known:
            self._known[user, program] = parts_of(self.paces.of(user, program))
        return self._known[user, program]

    def ends(self, snapshot: Snapshot) -> dict[str, float]:
        """By key, when running jobs have probably ended (epoch seconds), as far as that is known
        and before their limits."""
        ends = (
            (job.key, self._end(job, snapshot.time)) for job in snapshot.jobs if job.holds_nodes
        )
        return {key: end for key, end in ends if end is not None}

    def _end(self, job: Job, now: float) -> float | None:
        seconds = 60.0 * (job.time_limit_minutes or 0)
        mark = decode_comment(job.admin_comment) if MARK in job.admin_comment else None
        if mark is None or not (seconds and job.start_time):
            return None
        parts = self.of(job.user, mark.classification.program)
        part = part_by(parts, LIKELY, begun=(now - job.start_time) / seconds)
        return None if part is None else max(now, job.start_time + part * seconds)

    def shortened(self, task: Task) -> Task:
        """The task with the limit within which it has probably ended."""
        part = part_by(self.of(task.user, task.program), LIKELY) if task.minutes else None
        return replace(task, minutes=math.ceil(part * (task.minutes or 0))) if part else task


def likely_starts(prepared: Prepared, paces: Paces, hurry: Hurry = never) -> dict[str, float]:
    """By key, when the first of the waiting tasks probably start (epoch seconds), until `hurry`
    says so."""
    usual, ahead = UsualParts(paces), prepared.ahead
    ends = usual.ends(prepared.snapshot)
    coming = {name: _sooner(there, ends) for name, there in ahead.axis.coming.items()}
    tasks = map(usual.shortened, takewhile(lambda _: not hurry(), _in_line(prepared)))
    found = expect(tasks, (), ahead.axis.giving_back(coming))
    return {key: made.start for key, made in found.items() if made.start < math.inf}


def _sooner(coming: Sequence[ComingFree], ends: Mapping[str, float]) -> tuple[ComingFree, ...]:
    sooner = (replace(one, end=min(one.end, ends.get(one.key, math.inf))) for one in coming)
    return tuple(sorted(sooner, key=lambda one: one.end))


def _in_line(prepared: Prepared) -> Iterator[Task]:
    """Those that nodes are kept for come first, then the others that no limit holds back."""
    kept = {made.task.key: made.task for made in prepared.ahead.reservations}
    yield from kept.values()
    for task in prepared.queue.tasks:
        if task.key not in kept and task.key not in prepared.held:
            yield task
