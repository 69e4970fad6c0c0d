"""Why gated jobs wait: as hetd says, else as the same steps find, in terms of devices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from slurm_het.core.assignment.first_fit import greedy
from slurm_het.core.cluster.fit import could_start
from slurm_het.core.model import Job, Task
from slurm_het.core.planner.explain import explain
from slurm_het.core.planner.plan import plan
from slurm_het.core.planner.proposal import Prepared
from slurm_het.core.reasons import CanStart, NotKnown, Reason, ReturnedBefore, TellTime
from slurm_het.core.reasons.codes import Waits, code_of, code_of_word

SEEN_SECONDS = 2.0
"""A job that was eligible so long before a plan was in it."""


@dataclass(frozen=True, slots=True)
class Remembered:
    """What hetd adds, if it `answers`.

    By job key: why tasks wait, and the codes of that; of those returned, what Slurm said and how
    many times they were; when tasks probably start (`likely`, epoch seconds). Of a hetd that does
    not answer: `since` when it has planned nothing (epoch seconds); 0: not known, None: it is not
    on this host. `sees_more`: what others hold, or what devices say of themselves, it sees and the
    caller does not.
    """

    answers: bool = False
    waiting: Mapping[str, str] = field(default_factory=dict)
    returned: Mapping[str, tuple[str, int]] = field(default_factory=dict)
    codes: Mapping[str, str] = field(default_factory=dict)
    likely: Mapping[str, float] = field(default_factory=dict)
    since: float | None = 0.0
    sees_more: bool = False


class Whys:
    """The reasons of one snapshot's gated jobs.

    `intake` is the State of the intake partition. While it is UP, plain Slurm schedules the jobs,
    and its reasons count.
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
        self._inside = {task.key: task for task in prepared.ahead.tasks if task.reservation}
        self._known: dict[Task, Waits] = {}

    def gated(self, job: Job) -> str:
        """Why a job waits in the gate."""
        return self.waits(job).text

    def waits(self, job: Job) -> Waits:
        """The same, with its code."""
        task = self.tasks.get(job.id)
        slurms = Waits(code_of_word(job.reason), job.reason)
        if self.intake == "UP" and not (task and job.reason == "Resources"):
            return slurms
        if task is None:
            blocked = self.prepared.queue.blocked.get(job.label)
            return Waits(code_of(blocked), blocked.told(self.at)) if blocked else slurms
        known = self.memory.waiting.get(task.key)
        code = self.memory.codes.get(task.key, "slurm")
        why = Waits(code, known) if known else self._as_far_as_known(task, self._own(task))
        if self.intake == "UP":
            return why._replace(text=f"{job.reason}; {why.text}")
        return self._after_return(job, task, why)

    def _as_far_as_known(self, task: Task, why: Waits) -> Waits:
        """Why it waits by Slurm's records; marked where hetd may know of something else.

        That is so where it would start, and a hetd that was there did not let it.
        """
        memory = self.memory
        let_wait = memory.since is None or task.since + SEEN_SECONDS < memory.since
        if memory.sees_more or (why.code == "no-plan" and let_wait):
            since = None if memory.answers else memory.since
            return why._replace(text=NotKnown(since or None, why.text).told(self.at))
        return why

    def _own(self, task: Task) -> Waits:
        prepared = self.prepared
        for reasons in (prepared.held, prepared.way.waits, prepared.ahead.kept):
            if reason := reasons.get(task.key):
                return Waits(code_of(reason), reason.told(self.at))
        task = self._inside.get(task.key, task)  # kept off what its reservation does not have
        request = task.request
        if request not in self._known:
            reason = self._explain(task)
            code = code_of(reason)
            if code == "next" and not self.memory.answers:
                code = "no-plan"
            self._known[request] = Waits(code, reason.told(self.at))
        return self._known[request]

    def _explain(self, task: Task) -> Reason:
        if self._could_start(task):
            return CanStart("the next plan" if self.memory.answers else "hetd")
        return explain(task, self.prepared.room)

    def _could_start(self, task: Task) -> bool:
        room = self.prepared.room
        if len(task.slots) == 1 or not could_start(task, room):
            return could_start(task, room)
        return bool(plan(room, (task,), self.prepared.policy, greedy).placements)

    def _after_return(self, job: Job, task: Task, why: Waits) -> Waits:
        returned = self.memory.returned
        reason_and_times = returned.get(task.key)
        if reason_and_times is None and job.array_tasks:
            prefix = f"{job.array_job_id}_"
            reason_and_times = next((r for k, r in returned.items() if k.startswith(prefix)), None)
        if reason_and_times is None:
            return why
        reason = ReturnedBefore(*reason_and_times, why.text)
        return Waits(code_of(reason), str(reason))
