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
from slurm_het.core.reservations.axis import Axis
from slurm_het.core.reservations.expected import expect
from slurm_het.core.reservations.in_vain import seconds_of
from slurm_het.core.reservations.reservation import ComingFree


class UsualEnds:
    """By when jobs have probably ended, as far as their users' programs are known."""

    def __init__(self, paces: Paces) -> None:
        self.paces = paces
        self._parts: dict[tuple[str, str], tuple[float, ...]] = {}
        self._part: dict[tuple[str, str], float | None] = {}

    def axis(self, axis: Axis, snapshot: Snapshot) -> Axis:
        """The axis, if running jobs give back what they hold by then, and tasks run as long.

        Which reservations a task reaches into goes by its limit all the same, as in Slurm.
        """
        ends = self.ends(snapshot)
        return axis.giving_back(
            {name: _sooner(there, ends) for name, there in axis.coming.items()}, self.seconds
        )

    def ends(self, snapshot: Snapshot) -> dict[str, float]:
        """By key, when running jobs have probably ended (epoch seconds), as far as that is known
        and before their limits."""
        ends = (
            (job.key, self._end(job, snapshot.time)) for job in snapshot.jobs if job.holds_nodes
        )
        return {key: end for key, end in ends if end is not None}

    def seconds(self, task: Task) -> float:
        """How long a task probably runs at most; where that is not known, its limit."""
        like = task.user, task.program
        if like not in self._part:
            self._part[like] = part_by(self._of(*like), LIKELY)
        part, limit = self._part[like], seconds_of(task)
        return limit if part is None or math.isinf(limit) else part * limit

    def _of(self, user: str, program: str) -> Sequence[float]:
        """The parts of its limits that a program took, sorted; none if it is not known."""
        if not program:
            return ()
        if (user, program) not in self._parts:
            self._parts[user, program] = parts_of(self.paces.of(user, program))
        return self._parts[user, program]

    def _end(self, job: Job, now: float) -> float | None:
        seconds = 60.0 * (job.time_limit_minutes or 0)
        if not (seconds and job.start_time):
            return None
        parts = self._of(job.user, _program_of(job))
        part = part_by(parts, LIKELY, begun=(now - job.start_time) / seconds)
        return None if part is None else max(now, job.start_time + part * seconds)


def _program_of(job: Job) -> str:
    mark = decode_comment(job.admin_comment) if MARK in job.admin_comment else None
    return mark.classification.program if mark else ""


def likely_starts(prepared: Prepared, paces: Paces, hurry: Hurry = never) -> dict[str, float]:
    """By key, when the first of the waiting tasks probably start (epoch seconds), until `hurry`
    says so."""
    axis = UsualEnds(paces).axis(prepared.ahead.axis, prepared.snapshot)
    tasks = takewhile(lambda _: not hurry(), _in_line(prepared))
    found = expect(tasks, (), axis)
    return {key: made.start for key, made in found.items() if made.start < math.inf}


def _in_line(prepared: Prepared) -> Iterator[Task]:
    """Those that nodes are kept for come first, then the others that no limit holds back."""
    kept = {made.task.key: made.task for made in prepared.ahead.reservations}
    yield from kept.values()
    for task in prepared.queue.tasks:
        if task.key not in kept and task.key not in prepared.held:
            yield task


def _sooner(coming: Sequence[ComingFree], ends: Mapping[str, float]) -> tuple[ComingFree, ...]:
    """The same, given back at those ends; the very same where nobody's end is known."""
    if not any(one.key in ends for one in coming):
        return tuple(coming)
    sooner = (replace(one, end=min(one.end, ends.get(one.key, math.inf))) for one in coming)
    return tuple(sorted(sooner, key=lambda one: one.end))
