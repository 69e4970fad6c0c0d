"""Tasks that Slurm will hardly start, whatever is free: they are planned after all others.

Each of them may hold an idle device in vain, one after the other, while others wait for it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from slurm_het.core.model import Job, Task

NEVER = "BadConstraints"
"""Slurm's reason of a job that these nodes can never hold."""
LIMITS = ("Assoc", "QOS", "Max")
"""So begin Slurm's reasons that are limits of an association or a QOS: MaxGRESPerAccount."""
MANY = 4
"""If so many different ones with the same rights came back, the next is likely to, too."""


@dataclass(frozen=True, slots=True)
class Returned:
    """A task that was pinned and did not start.

    `reason` is Slurm's, `since` is when it came back (ticks), `times` is how often it did, `nodes`
    are those where it did not start. `refused`: slurmctld did not even take the release.
    """

    reason: str
    since: float
    times: int
    nodes: frozenset[str] = frozenset()
    refused: bool = False

    @property
    def at_fault(self) -> bool:
        """Whether it is so itself: what becomes free does not help it."""
        return self.refused or self.reason.startswith(LIMITS)


class Rights(NamedTuple):
    """Whose rights a job has, as far as Slurm tells."""

    user: str
    account: str
    qos: str


class Like(NamedTuple):
    """What tasks that are equal in Slurm's eyes have in common."""

    rights: Rights
    request: Task
    minutes: int | None


class Doubts:
    """Which of the waiting tasks are doubted, by those that came back and wait themselves.

    Where devices are free a doubted task is tried like any other, so nothing is lost there. Where
    they are not, it must have its turn again, for it may be right by now. So those like one are
    doubted for `retry_seconds`, and itself for twice that: then those like it have had a turn. For
    one of NEVER that never ends: it is soon handed over.
    """

    def __init__(
        self,
        waiting: Iterable[Task],
        returned: Mapping[str, Returned],
        jobs: Iterable[Job],
        ticks: float,
        retry_seconds: float,
    ) -> None:
        back = [(task, returned[task.key]) for task in waiting if task.key in returned]
        self._kinds = {_kind(task) for task, one in back if one.reason == NEVER}
        at_fault = [(task, one) for task, one in back if one.at_fault]
        self._jobs = {job.id: job for job in jobs} if at_fault else {}
        self._keys = {t.key for t, one in at_fault if ticks < one.since + 2 * retry_seconds}
        self._likes = {
            self._like(task) for task, one in at_fault if ticks < one.since + retry_seconds
        }
        number = Counter(like.rights for like in self._likes)
        self._rights = {one for one, likes in number.items() if likes >= MANY}

    def last(self, tasks: Iterable[Task]) -> tuple[Task, ...]:
        """The tasks in order, but those last that are doubted."""
        doubts: list[Callable[[Task], bool]] = []
        if self._kinds:
            doubts.append(lambda task: _kind(task) in self._kinds)
        if self._jobs:
            doubts.append(self._at_fault)
        if not doubts:
            return tuple(tasks)
        return tuple(sorted(tasks, key=lambda task: any(doubt(task) for doubt in doubts)))

    def _at_fault(self, task: Task) -> bool:
        if task.key in self._keys:
            return True
        if not self._likes:
            return False
        like = self._like(task)
        return like in self._likes or like.rights in self._rights

    def _like(self, task: Task) -> Like:
        job = self._jobs.get(task.job_id)
        rights = Rights(task.user, job.account, job.qos) if job else Rights(task.user, "", "")
        return Like(rights, task.request, task.minutes)


def _kind(task: Task) -> tuple[str, bool, tuple[int, ...]]:
    """For NEVER: of its user, with as many devices."""
    return task.user, task.takes_share, tuple(slot.devices for slot in task.slots)
