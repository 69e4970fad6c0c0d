"""Whose limit the end of a running job may lift: of two tasks that wait for that, the first in line
is to be the first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import inf
from typing import NamedTuple

from slurm_het.core.model import Job, Snapshot, Task
from slurm_het.core.reasons import AtLimit, Reason
from slurm_het.core.reservations.reservation import ComingFree, turn_of

Whose = frozenset[tuple[str, str]]
"""A job's user, account and QOS; or those of them that a limit is about."""


class Limited(NamedTuple):
    """A task that a limit holds back, which running jobs use."""

    task: Task
    limit: AtLimit


def limited(tasks: Iterable[Task], held: Mapping[str, Reason]) -> tuple[Limited, ...]:
    """The tasks that wait for a limit which the end of running jobs may lift."""
    found = ((task, held.get(task.key)) for task in tasks)
    return tuple(
        Limited(task, why) for task, why in found if isinstance(why, AtLimit) and _may_lift(why)
    )


def _may_lift(limit: AtLimit) -> bool:
    """Not one of each job alone, nor of minutes that have been used up."""
    used_up = limit.word.endswith("Minutes") and not limit.word.endswith("RunMinutes")
    return limit.used > 0 and not used_up


@dataclass(frozen=True, slots=True)
class Unbound:
    """Whom the end of a running job may free of a limit: he may come first where the job was.

    `at_limit` are the tasks that a limit holds back, each with whose jobs it is about. `running`
    has whose the jobs on a node are. A limit of an account above their own is not looked at.
    """

    at_limit: tuple[tuple[Task, Whose], ...]
    running: Mapping[str, tuple[Whose, ...]]

    @classmethod
    def of(
        cls,
        snapshot: Snapshot,
        at_limit: Iterable[Limited],
        coming: Mapping[str, tuple[ComingFree, ...]],
    ) -> Unbound:
        """By Slurm's records."""
        waiting = {one.task.job_id: one for one in at_limit}
        if not waiting:
            return cls((), {})
        jobs = (job for job in snapshot.jobs if job.id in waiting and job.state == "PENDING")
        about = {job.id: _about(waiting[job.id].limit, job) for job in jobs}
        whose = {job.key: _whose(job) for job in snapshot.jobs if job.holds_nodes}
        return cls(
            tuple((one.task, mine) for one in at_limit if (mine := about.get(one.task.job_id))),
            {
                node: tuple(whose[one.key] for one in there if one.key in whose and one.end < inf)
                for node, there in coming.items()
            },
        )

    def first(self, task: Task, nodes: Iterable[str]) -> Task | None:
        """One whose turn is before, who may be free to start on these nodes when they are."""
        ending = {whose for name in nodes for whose in self.running.get(name, ())}
        return next(
            (
                other
                for other, about in self.at_limit
                if turn_of(other) < turn_of(task)
                and not set(other.pools).isdisjoint(task.pools)
                and not other.types.isdisjoint(task.types)
                and any(about <= whose for whose in ending)
            ),
            None,
        )


def _about(limit: AtLimit, job: Job) -> Whose:
    """Whose jobs a limit is about that holds this job back; nobody's if that is not known."""
    named = {
        "user": f"user {job.user}",
        "account": f"account {job.account}",
        "qos": f"QOS {job.qos}",
    }
    said = f" in {limit.of} in "
    return frozenset(one for one in _whose(job) if f" in {named[one[0]]} in " in said)


def _whose(job: Job) -> Whose:
    named = ("user", job.user), ("account", job.account), ("qos", job.qos)
    return frozenset(one for one in named if one[1])
