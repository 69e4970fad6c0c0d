"""Why gated jobs wait: as hetd says, else as the same steps find, in terms of devices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from slurm_het.core.assignment.first_fit import greedy
from slurm_het.core.cluster.fit import could_start
from slurm_het.core.cluster.inventory import is_usable
from slurm_het.core.jobs.task_pools import is_gated
from slurm_het.core.model import Job, NodeRecord, Snapshot, Task
from slurm_het.core.planner.explain import explain
from slurm_het.core.planner.plan import plan
from slurm_het.core.planner.proposal import Prepared
from slurm_het.core.policy import Policy
from slurm_het.core.reasons import CanStart, NotKnown, Reason, ReturnedBefore, TellTime, few
from slurm_het.core.reasons.codes import Waits, code_of, code_of_word
from slurm_het.core.syntax import hostlist

NOT_AVAILABLE = "ReqNodeNotAvail"
_OF_NODES = frozenset({NOT_AVAILABLE, "Resources", "PartitionNodeLimit"})
_PARTITION_SHUT = frozenset({"PartitionDown", "PartitionInactive"})

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


class SlurmsWords:
    """What Slurm's own words come to where they may mean one thing or another: nodes that are away,
    or that a reservation has."""

    def __init__(self, snapshot: Snapshot, policy: Policy) -> None:
        self._snapshot, self._policy = snapshot, policy
        self._known: dict[tuple[object, ...], Waits] = {}

    def waits(self, job: Job) -> Waits:
        """Code and sentence of a job that plain Slurm schedules."""
        word = job.reason
        if word in _PARTITION_SHUT and self._is_shut(job):
            return Waits("no-node", f"{word}; it waits until {job.partition} is UP")
        if word not in _OF_NODES:
            return Waits(code_of_word(word), word)
        same = word, job.partition, job.req_nodes, job.nodes_min, job.reservation
        if same not in self._known:  # before a maintenance thousands say the same
            self._known[same] = self._of_nodes(job, word)
        return self._known[same]

    def _of_nodes(self, job: Job, word: str) -> Waits:
        if away := self._away(job):
            told = [f"{record.name} is {record.state}" for record in away]
            return Waits("no-node", f"{word}; {few(told)}")
        if word == NOT_AVAILABLE and (name := self._reservation(job)):
            return Waits("reserved", f"{word}; {name}")
        return Waits(code_of_word(word), word)

    def _is_shut(self, job: Job) -> bool:
        """Not of the gate: there a DOWN partition is on purpose."""
        named = job.partition.split(",")
        return not is_gated(job, self._policy) and any(name in self._shut for name in named)

    def _away(self, job: Job) -> list[NodeRecord]:
        """The nodes that it names and that nothing starts on; without such those of its partitions,
        if there too few are left for it."""
        nodes = self._nodes(job)
        away = [record for record in nodes if record.name in self._unusable]
        needed = len(nodes) if job.req_nodes else max(1, job.nodes_min)
        return away if len(nodes) - len(away) < needed else []

    def _nodes(self, job: Job) -> Sequence[NodeRecord]:
        if job.req_nodes:
            named = map(self._records.get, hostlist.expand_readable(job.req_nodes))
            return [record for record in named if record]
        if "," in job.partition:
            names = job.partition.split(",")
            return [r for r in self._snapshot.nodes if not set(names).isdisjoint(r.partitions)]
        return self._inside.get(job.partition, ())

    def _reservation(self, job: Job) -> str:
        """A reservation of another one's that has nodes of these, or comes to have them."""
        names = {record.name for record in self._nodes(job)}
        for other in self._snapshot.reservations:
            if other.name != job.reservation and not names.isdisjoint(other.nodes):
                return f"the reservation {other.name}"
        there = (record for record in self._nodes(job) if record.name not in self._unusable)
        seen = (r for r in there if not is_usable(r.state, reservation_known=False))
        return next((f"{record.name} is {record.state}" for record in seen), "")

    @cached_property
    def _shut(self) -> frozenset[str]:
        return frozenset(p.name for p in self._snapshot.partitions if p.state != "UP")

    @cached_property
    def _records(self) -> Mapping[str, NodeRecord]:
        return {record.name: record for record in self._snapshot.nodes}

    @cached_property
    def _unusable(self) -> frozenset[str]:
        records = self._snapshot.nodes
        return frozenset(r.name for r in records if not is_usable(r.state, reservation_known=True))

    @cached_property
    def _inside(self) -> Mapping[str, Sequence[NodeRecord]]:
        """By partition."""
        inside: dict[str, list[NodeRecord]] = {}
        for record in self._snapshot.nodes:
            for name in record.partitions:
                inside.setdefault(name, []).append(record)
        return inside


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
        self._slurms = SlurmsWords(prepared.snapshot, prepared.policy)
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
        slurms = self._slurms.waits(job)
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
