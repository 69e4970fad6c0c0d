"""Why gated jobs wait: the daemon's words if it has any, else our own, in device terms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from slurm_het.core.cluster.fit import (
    could_start,
)
from slurm_het.core.cluster.inventory import Inventory
from slurm_het.core.jobs.task_pools import TaskPools, display_key
from slurm_het.core.model import Job, Task
from slurm_het.core.planner.explain import explain


@dataclass(frozen=True, slots=True)
class Remembered:
    """What the daemon adds, by job key: why tasks wait, and what Slurm said of those returned."""

    answers: bool = False
    waiting: Mapping[str, str] = field(default_factory=dict)
    returned: Mapping[str, tuple[str, int]] = field(default_factory=dict)


class Whys:
    """The reasons of one snapshot's gated jobs; `intake` is the partition's State."""

    def __init__(
        self,
        inventory: Inventory,
        memory: Remembered,
        intake: str,
        queue: TaskPools,
    ) -> None:
        self.inventory = inventory
        self.memory = memory
        self.intake = intake
        self.blocked = queue.blocked
        self.tasks: dict[int, Task] = {}
        for task in queue.tasks:
            self.tasks.setdefault(task.job_id, task)  # one task of an array speaks for the rest
        self.known: dict[Task, str] = {}

    def gated(self, job: Job) -> str:
        """Why a job waits in the gate."""
        key = display_key(job)
        task = self.tasks.get(job.id)
        if self.intake == "UP" and not (task and job.reason == "Resources"):
            return job.reason  # plain Slurm schedules: its word counts
        if task is None:
            return self.blocked.get(key, job.reason)
        why = self.memory.waiting.get(task.key) or self._explain(task)
        if self.intake == "UP":
            return f"{job.reason}; {why}"
        return f"{self._returned(job, task)}{why}"

    def _explain(self, task: Task) -> str:
        shape = replace(task, key="", job_id=0, user="", priority=0, minutes=None)
        if shape not in self.known:
            if len(task.slots) == 1 and could_start(task, self.inventory):
                whom = "the next plan" if self.memory.answers else "hetd"
                self.known[shape] = f"can start now; waits for {whom}"
            else:
                self.known[shape] = explain(task, self.inventory)
        return self.known[shape]

    def _returned(self, job: Job, task: Task) -> str:
        found = self.memory.returned.get(task.key)
        if found is None and job.array_tasks:
            start = f"{job.array_job_id}_"
            found = next((r for k, r in self.memory.returned.items() if k.startswith(start)), None)
        if found is None:
            return ""
        reason, times = found
        return f"returned{f' {times} times' if times > 1 else ''} ({reason}); "
