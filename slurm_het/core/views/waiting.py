"""Why gated jobs wait: hetd's words if it has any, else what the same steps say in device terms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from slurm_het.core.assignment.first_fit import greedy
from slurm_het.core.cluster.fit import could_start
from slurm_het.core.model import Job, Task
from slurm_het.core.planner.explain import explain
from slurm_het.core.planner.plan import plan
from slurm_het.core.planner.proposal import Prepared
from slurm_het.core.reasons import CanStart, Reason, ReturnedBefore, TellTime


@dataclass(frozen=True, slots=True)
class Remembered:
    """What hetd adds, by job key: why tasks wait, and what Slurm said of those returned."""

    answers: bool = False
    waiting: Mapping[str, str] = field(default_factory=dict)
    returned: Mapping[str, tuple[str, int]] = field(default_factory=dict)


class Whys:
    """The reasons of one snapshot's gated jobs.

    `intake` is the partition's State: while it is UP plain Slurm schedules, and its word counts.
    """

    def __init__(
        self, prepared: Prepared, memory: Remembered, at: TellTime, intake: str = "DOWN"
    ) -> None:
        self.prepared = prepared
        self.memory = memory
        self.at = at
        self.intake = intake
        self.tasks: dict[int, Task] = {}
        for task in prepared.queue.tasks:
            self.tasks.setdefault(task.job_id, task)  # one task of an array speaks for the rest
        self._known: dict[Task, str] = {}

    def gated(self, job: Job) -> str:
        """Why a job waits in the gate."""
        task = self.tasks.get(job.id)
        if self.intake == "UP" and not (task and job.reason == "Resources"):
            return job.reason  # plain Slurm schedules: its word counts
        if task is None:
            return str(self.prepared.queue.blocked.get(job.label, job.reason))
        why = self.memory.waiting.get(task.key) or self._own(task)
        if self.intake == "UP":
            return f"{job.reason}; {why}"
        return self._after_return(job, task, why)

    def _own(self, task: Task) -> str:
        if kept := self.prepared.ahead.kept.get(task.key):
            return kept.told(self.at)
        shape = task.request
        if shape not in self._known:
            self._known[shape] = str(self._explain(task))
        return self._known[shape]

    def _explain(self, task: Task) -> Reason:
        if self._could_start(task):
            return CanStart("the next plan" if self.memory.answers else "hetd")
        return explain(task, self.prepared.room)

    def _could_start(self, task: Task) -> bool:
        room = self.prepared.room
        if len(task.slots) == 1 or not could_start(task, room):
            return could_start(task, room)
        return bool(plan(room, (task,), self.prepared.policy, greedy).placements)

    def _after_return(self, job: Job, task: Task, why: str) -> str:
        found = self.memory.returned.get(task.key)
        if found is None and job.array_tasks:
            start = f"{job.array_job_id}_"
            found = next((r for k, r in self.memory.returned.items() if k.startswith(start)), None)
        return str(ReturnedBefore(*found, why)) if found else why
