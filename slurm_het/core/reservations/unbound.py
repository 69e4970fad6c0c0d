"""Whose limit the end of a running job may lift: of two tasks that wait for that, the first in line
is to be the first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from slurm_het.core.model import Job, Snapshot, Task
from slurm_het.core.reservations.reservation import ComingFree, turn_of


@dataclass(frozen=True, slots=True)
class Unbound:
    """Whom the end of a running job may free of a limit: he may come first where the job was.

    `at_limit` are the tasks that a limit holds back, each with whom it counts with: his user, his
    account, his QOS. `running` has those of the jobs on a node.
    """

    at_limit: tuple[tuple[Task, frozenset[tuple[str, str]]], ...]
    running: Mapping[str, frozenset[tuple[str, str]]]

    @classmethod
    def of(
        cls,
        snapshot: Snapshot,
        at_limit: tuple[Task, ...],
        coming: Mapping[str, tuple[ComingFree, ...]],
    ) -> Unbound:
        """By Slurm's records."""
        if not at_limit:
            return cls((), {})
        whose = {job.key: _whose(job) for job in snapshot.jobs}
        tasks = {job.id: _whose(job) for job in snapshot.jobs if job.state == "PENDING"}
        return cls(
            tuple((task, tasks.get(task.job_id, frozenset())) for task in at_limit),
            {
                node: frozenset().union(*(whose.get(one.key, ()) for one in there))
                for node, there in coming.items()
            },
        )

    def first(self, task: Task, nodes: Iterable[str]) -> Task | None:
        """One whose turn is before, who may be free to start on these nodes when they are."""
        ending = frozenset().union(*(self.running.get(name, ()) for name in nodes))
        return next(
            (
                other
                for other, whose in self.at_limit
                if turn_of(other) < turn_of(task)
                and not set(other.pools).isdisjoint(task.pools)
                and not whose.isdisjoint(ending)
            ),
            None,
        )


def _whose(job: Job) -> frozenset[tuple[str, str]]:
    named = ("user", job.user), ("account", job.account), ("qos", job.qos)
    return frozenset(one for one in named if one[1])
