"""Whether Slurm itself lets a gated job wait: it is held, depends on another, or is for later."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from math import inf
from typing import NamedTuple, Self

from slurm_het.core.model import Job
from slurm_het.core.reasons import Held, Reason, SlurmWaits
from slurm_het.core.reasons.codes import HOLDS, NEVER_SATISFIED

ELIGIBLE = frozenset({
    "None", "PartitionDown", "PartitionInactive", "Priority", "Resources", "JobArrayTaskLimit",
    "ReqNodeNotAvail", "Reserved_for_higher_priority_jobs", "BadConstraints", "Cleaning",
    "NodeDown", "PartitionNodeLimit", "BeginTime", "Reservation",
})  # fmt: skip
"""The reasons that Slurm gives for jobs which may start; any other is its own word to wait.

BeginTime may outlast the begin time, which is read itself: Slurm looks at nothing in a DOWN
partition again. When a reservation begins is read from that.
"""

AT_ONCE_SECONDS = 2
"""From a submission until Slurm finds the job eligible, if it has no begin time."""

_NAMED = re.compile(r":(\d+)(_\*)?")  # afterok:7(unfulfilled),afterany:8_*(unfulfilled)
_ONE_DOES = re.compile(r"\?|aftercorr|after:|:\d+_\d")  # any end may be the one, by what is told


@dataclass(frozen=True, slots=True)
class Awaited:
    """The jobs that others depend on: by id, or (`singleton`) by their user and name. Of the arrays
    in `whole` everybody waits for all tasks."""

    ids: frozenset[int]
    whole: frozenset[int]
    names: frozenset[tuple[str, str]]

    @classmethod
    def by(cls, waiting: Iterable[Job]) -> Self:
        """Those that one of these waits for, as Slurm still tells it."""
        dependent = [job for job in waiting if job.dependency]
        each, whole = set[int](), set[int]()
        for job in dependent:
            by_task = "aftercorr" in job.dependency
            for number, all_tasks in _NAMED.findall(job.dependency):
                (whole if all_tasks and not by_task else each).add(int(number))
        alone = (job for job in dependent if "singleton" in job.dependency)
        names = frozenset((job.user, job.name) for job in alone)
        return cls(frozenset(each | whole), frozenset(whole - each), names)

    def __contains__(self, job: Job) -> bool:
        named = job.id in self.ids or job.array_job_id in self.ids
        return named or (job.user, job.name) in self.names


class NotOver(NamedTuple):
    """Of the jobs that have not ended: their `ids`, those of their `arrays`, and by user and name
    the lowest id of those that wait; 0 where one has started."""

    ids: frozenset[int]
    arrays: frozenset[int]
    first: Mapping[tuple[str, str], int]

    @classmethod
    def of(cls, jobs: Collection[Job]) -> Self:
        """Of these, none of which has ended."""
        first: dict[tuple[str, str], int] = {}
        for job in jobs:
            who, id = (job.user, job.name), job.id if job.state == "PENDING" else 0
            first[who] = min(id, first.get(who, id))
        ids, arrays = (job.id for job in jobs), (job.array_job_id for job in jobs)
        return cls(frozenset(ids), frozenset(arrays), first)

    def keep(self, dependent: Job) -> bool:
        """Whether one of them surely keeps a job waiting that depends on all that it names."""
        text = dependent.dependency
        if _ONE_DOES.search(text):
            return False
        first = self.first.get((dependent.user, dependent.name), inf)
        if "singleton" in text and first < dependent.id:
            return True
        named = _NAMED.findall(text)
        return any(int(id) in (self.arrays if array else self.ids) for id, array in named)


def slurm_waits(job: Job, now: float) -> Reason | None:
    """Why Slurm itself lets the job wait; None if it does not. `now` are epoch seconds.

    A DOWN partition's jobs have the reason PartitionDown even while a dependency is open (seen on
    22.05), so the dependency and the begin time are read themselves. A hold comes before both, as
    in Slurm: it lasts when they are over.
    """
    if job.reason in HOLDS:
        return SlurmWaits(job.reason)
    if job.dependency:
        word = job.reason if job.reason == NEVER_SATISFIED else "Dependency"
        return SlurmWaits(f"{word} {job.dependency}")
    if is_yet_to_begin(job, now):
        return SlurmWaits("BeginTime", job.eligible_time)
    if job.reason not in ELIGIBLE:
        return SlurmWaits(job.reason)
    return None if job.priority else Held()


def is_yet_to_begin(job: Job, now: float) -> bool:
    """Whether the date that it was submitted to wait until is yet to come."""
    return job.eligible_time > now and begins_later(job)


def begins_later(job: Job) -> bool:
    """Whether the job was submitted to wait until a date.

    Both times are Slurm's: our clock may be behind its.
    """
    return job.eligible_time > job.submit_time + AT_ONCE_SECONDS
