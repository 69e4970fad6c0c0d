"""Shadow's book: what hetd would have written into Slurm, laid over what Slurm says.

With the book over it a snapshot of a Slurm that schedules by itself is one of a Slurm under hetd:
the gate is closed, jobs wait there as the hook would have left them, released ones are pinned. So
the cycle is that of `plan`. What runs is real, and ends the book's word on that job.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from slurm_het.core.cluster.fit import could_start
from slurm_het.core.cluster.inventory import Inventory
from slurm_het.core.cluster.pinned import Pin, room_beside
from slurm_het.core.jobs.admission import Admission, Admitted, Passed, admit_record
from slurm_het.core.jobs.demand import is_accelerator_job
from slurm_het.core.jobs.trials import Trials
from slurm_het.core.jobs.waits import ELIGIBLE
from slurm_het.core.model import Job, Partition, Snapshot
from slurm_het.core.planner.doubts import LIMITS
from slurm_het.core.policy import Policy
from slurm_het.core.reasons import HeterogeneousJob, NamesNodes, NoAccelerator
from slurm_het.core.syntax.arrays import array_indexes
from slurm_het.core.syntax.gres import format_indexes

MOST_TASKS = 100_000
"""So many tasks of one array are looked at."""
TAKEN = "plain Slurm has given its nodes to others"
"""Why a job is planned anew: this stands in the journal, where the report looks for it."""
FIRST_ID = 1 << 40
"""Ids of array tasks that the book has split off; none of Slurm's are so high."""


_Asked = tuple[object, ...]


def _asked(job: Job) -> _Asked:
    """What the hook's answer depends on, and which submission it is: ids come again."""
    tres = job.tres_per_node, job.tres_per_job, job.tres_per_task, job.tres_per_socket
    return job.submit_time, job.partition, job.features, job.comment, *tres


class Book:
    """What hetd would have made of the jobs, by job; `gate` is the State that it gave the intake.

    `policy` has the pools in shadow. While others are planned the intake is theirs.
    """

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.gate = "UP"
        self._ours = {pool.partition for pool in policy.pools}
        self._ours |= set() if _intake_is_taken(policy) else {policy.intake_partition}
        self._admitted: dict[int, tuple[_Asked, Admission]] = {}
        self._updates: dict[str, dict[str, str]] = {}
        self._over: set[str] = set()
        self._ids: dict[str, int] = {}
        self._next_id = itertools.count(FIRST_ID)

    def unread(self, snapshot: Snapshot) -> list[Job]:
        """The jobs that the hook would have been asked about, and that are not in the book yet."""
        return [j for j in snapshot.jobs if self._concerns(j) and self.admission(j) is None]

    def admit(self, job: Job, admission: Admission) -> None:
        """Write down what the hook would have made of a job; what was done with it before, if it
        asks for something else since, is no more."""
        if job.id in self._admitted:
            for key in (str(job.id), job.key):
                self._updates.pop(key, None)
        self._admitted[job.id] = _asked(job), admission

    def admission(self, job: Job) -> Admission | None:
        """What the hook would have made of a job; None if that is not in the book, or its user has
        changed since what it asks for."""
        asked, made = self._admitted.get(job.id, (None, None))
        return made if asked == _asked(job) else None

    def update(self, key: str, fields: Mapping[str, str]) -> None:
        """Write down an update: `scontrol update JobId=key field=value ...`."""
        self._updates[key] = self._updates.get(key, {}) | dict(fields)

    def end(self, key: str) -> None:
        """Write down that a job has ended under hetd, whatever becomes of it."""
        self._over.add(key)

    def partition_of(self, key: str) -> str:
        """Where a job stands in the book; '' if that has no word on it."""
        return self._updates.get(key, {}).get("Partition", "")

    def over(self, snapshot: Snapshot) -> Snapshot:
        """The snapshot with the book over it. What does not wait any more leaves the book."""
        self._forget(snapshot)
        split: dict[str, set[str]] = {}
        for key in (*self._updates, *self._over):
            split.setdefault(key.partition("_")[0], set()).add(key)
        jobs = tuple(shown for job in snapshot.jobs for shown in self._shown(job, split))
        intake = self.policy.intake_partition
        others = tuple(p for p in snapshot.partitions if p.name != intake)
        record = next((p for p in snapshot.partitions if p.name == intake), Partition(intake))
        gate = replace(record, state=self.gate)
        return replace(snapshot, jobs=jobs, partitions=(*others, gate))

    def _concerns(self, job: Job) -> bool:
        named = set(job.partition.split(","))
        return job.state == "PENDING" and bool(named) and named <= self._ours

    def _forget(self, snapshot: Snapshot) -> None:
        waiting = [job for job in snapshot.jobs if job.state == "PENDING"]
        known = {job.id for job in waiting if self.admission(job) is not None}
        self._admitted = {i: what for i, what in self._admitted.items() if i in known}
        started = {job.key for job in snapshot.jobs if job.state != "PENDING"}
        names = {str(i) for i in known} | {job.key for job in waiting if job.id in known}
        arrays = {str(job.array_job_id) for job in waiting if job.unsplit and job.id in known}

        def waits(key: str) -> bool:
            return key not in started and (key in names or key.split("_")[0] in arrays)

        self._updates = {key: u for key, u in self._updates.items() if waits(key)}
        self._over = set(filter(waits, self._over))
        self._ids = {key: number for key, number in self._ids.items() if waits(key)}

    def _shown(self, job: Job, split: Mapping[str, set[str]]) -> Iterator[Job]:
        if not self._concerns(job):
            foreign = job.state == "PENDING" and job.partition == self.policy.intake_partition
            if not foreign:  # else another planner's
                yield job
            return
        made = self.admission(job)
        if made is None:
            return  # it comes with the next snapshot, as if it were submitted then
        if isinstance(made, Passed):
            yield job
            return
        gated = _updated(_gated(job, made), self._updates.get(str(job.id), {}))
        if job.unsplit:
            array = str(job.array_job_id)
            yield from self._tasks(gated, split.get(array, set()) - {array})
        elif job.key not in self._over:
            yield _updated(gated, self._updates.get(job.key, {}))

    def _tasks(self, job: Job, split: set[str]) -> Iterator[Job]:
        """The array, without the tasks that were released in the book (`split`); and these, each by
        itself, as Slurm splits them off."""
        if not split:
            yield job
            return
        own = {int(key.partition("_")[2]): key for key in split}
        indexes = array_indexes(job.array_tasks, MOST_TASKS)
        if left := tuple(index for index in indexes if index not in own):
            yield replace(job, array_tasks=format_indexes(left))
        for index in own.keys() & set(indexes):
            if (key := own[index]) not in self._over:
                number = self._ids.setdefault(key, next(self._next_id))
                task = replace(job, id=number, array_task_id=index, array_tasks="")
                yield _updated(task, self._updates[key])


def as_submitted(
    job: Job, script: str, policy: Policy, inventory: Inventory, trials: Trials
) -> Admission:
    """What the hook would have made of a waiting job; it is not even asked about some."""
    if job.het_job_id:
        return Passed(HeterogeneousJob())
    if job.req_nodes:
        return Passed(NamesNodes(job.req_nodes))
    if not is_accelerator_job(job, policy):
        return Passed(NoAccelerator())
    return admit_record(job, script, policy, inventory, trials)


def overtaken(pins: Iterable[Pin], inventory: Inventory) -> list[str]:
    """The keys of the pins whose nodes plain Slurm has given to others; the first come first."""
    room, lost = inventory, []
    for pin in sorted(pins, key=lambda pin: pin.since):
        if pin.start or pin.in_line:
            continue
        nodes = {n: room.nodes[n] for n in pin.placement.nodes if n in room.nodes}
        if could_start(pin.task, replace(room, nodes=nodes)):
            room = room_beside(room, [pin])
        else:
            lost.append(pin.task.key)
    return lost


def _intake_is_taken(policy: Policy) -> bool:
    return any(pool.mode == "plan" for pool in policy.others)


def _gated(job: Job, made: Admitted) -> Job:
    """The job as the hook leaves it, in a DOWN partition: there Slurm looks at no limit of it."""
    comment = " ".join(filter(None, [job.admin_comment, made.fields["admin_comment"]]))
    as_gated: dict[str, Any] = made.fields | {"admin_comment": comment}
    limited = job.reason in ELIGIBLE or job.reason.startswith(LIMITS)
    return replace(job, reason="PartitionDown" if limited else job.reason, **as_gated)


_FIELDS = {
    "Partition": "partition", "ReqNodeList": "req_nodes", "Features": "features",
    "AdminComment": "admin_comment", "Gres": "tres_per_node", "TresPerJob": "tres_per_job",
}  # fmt: skip
"""By field of an update, that of the record; NumNodes and TimeLimit are numbers."""


def _updated(job: Job, fields: Mapping[str, str]) -> Job:
    new: dict[str, Any] = {_FIELDS[name]: text for name, text in fields.items() if name in _FIELDS}
    if nodes := fields.get("NumNodes"):
        least, _, most = nodes.partition("-")
        new |= {"nodes_min": int(least), "nodes_max": int(most or least)}
    if limit := fields.get("TimeLimit"):
        new["time_limit_minutes"] = None if limit == "UNLIMITED" else int(limit)
    if new.get("partition", job.partition) != job.partition:
        new["reason"] = "None"  # what Slurm would say of it there is not known
    return replace(job, **new) if new else job
