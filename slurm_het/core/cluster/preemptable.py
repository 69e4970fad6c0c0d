"""Who may preempt whom, in which order Slurm takes them, and how many of them.

As Slurm does it (preempt/partition_prio, preempt/qos; select/cons_tres): of the running jobs that
the waiting one may preempt, Slurm gives up one after the other until there is room.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

from slurm_het.core.model import Job, Partition, Snapshot
from slurm_het.core.preemption import Modes, Preemption, QosPreemption
from slurm_het.core.syntax import hostlist

_NO_PARTITION, _NO_QOS = Partition(""), QosPreemption()
_WAYS = frozenset({"REQUEUE", "CANCEL", "SUSPEND"})
S = TypeVar("S")
T = TypeVar("T")


@dataclass(frozen=True)
class Rules:
    """The site's rules, with which the jobs of a snapshot are judged at its time (`now`)."""

    preemption: Preemption
    partitions: Mapping[str, Partition]
    now: float

    @classmethod
    def of(cls, snapshot: Snapshot) -> Rules:
        """The rules of a snapshot."""
        partitions = {partition.name: partition for partition in snapshot.partitions}
        return cls(snapshot.preemption, partitions, snapshot.time)

    def may_preempt(self, job: Job, pool: str, victim: Job) -> bool:
        """Whether Slurm would end or suspend a running job so that `job` can start in `pool`."""
        return (
            victim.state == "RUNNING"
            and bool(self.modes_of(victim) & _WAYS)
            and self.outranks(job, pool, victim)
            and self.preemptable_at(victim) <= self.now
        )

    def outranks(self, job: Job, pool: str, victim: Job) -> bool:
        """Whether the tiers or the QOSs let `job` preempt another one, whatever that does now."""
        rules = self.preemption
        exempt = rules.min_exempt_priority
        if exempt is not None and victim.priority > exempt:
            return False
        higher = job.priority > victim.priority
        if rules.by == "partition":
            mine, theirs = self._partition(pool), self._partition(victim.partition)
            if "PRIORITY" in rules.modes | mine.preempt_modes and job.priority < victim.priority:
                return False
            return theirs.tier < mine.tier and theirs.preempt_modes != {"OFF"}
        ours = self._qos(job.qos)
        if job.qos == victim.qos:
            return "WITHIN" in rules.modes | ours.modes and higher
        if "PRIORITY" in rules.modes | ours.modes and not higher:
            return False
        return victim.qos in ours.preempts

    @cached_property
    def by_priority(self) -> bool:
        """Whether anywhere the priority of a job decides beside its QOS or its tier."""
        modes = [self.preemption.modes]
        modes += [qos.modes for qos in self.preemption.qos.values()]
        modes += [partition.preempt_modes for partition in self.partitions.values()]
        return any(words & {"WITHIN", "PRIORITY"} for words in modes)

    def modes_of(self, victim: Job) -> Modes:
        """How Slurm preempts a job: REQUEUE, CANCEL, SUSPEND, or OFF (not at all)."""
        if self.preemption.by == "partition":
            return self._partition(victim.partition).preempt_modes or self.preemption.modes
        return self._qos(victim.qos).modes & _WAYS or self.preemption.modes

    def is_suspended(self, victim: Job) -> bool:
        """Whether a job is only suspended when it is preempted: then it gives CPUs alone.

        It keeps its devices and its memory (22.05, 24.11, 26.05).
        """
        return not self.modes_of(victim) & {"REQUEUE", "CANCEL"}

    def preemptable_at(self, victim: Job) -> float:
        """Since when (epoch seconds) a running job may be preempted: PreemptExemptTime is over."""
        own, partition = self._qos(victim.qos), self._partition(victim.partition)
        order = [self._qos(partition.qos), own]
        if own.over_partition:
            order.reverse()
        set_by_qos = (qos.exempt_seconds for qos in order if qos.exempt_seconds is not None)
        return victim.start_time + next(set_by_qos, self.preemption.exempt_seconds)

    def grace_seconds(self, victim: Job) -> int:
        """For how long a job goes on once it is told that it is preempted."""
        if self.preemption.by == "partition":
            return self._partition(victim.partition).grace_seconds
        return self._qos(victim.qos).grace_seconds

    def rank(self, victim: Job) -> int:
        """The tier, or the priority of the QOS, of a job: Slurm takes those of the lowest first.

        The same for all where it takes the youngest first.
        """
        if self.preemption.youngest_first:
            return 0
        if self.preemption.by == "partition":
            return self._partition(victim.partition).tier
        return self._qos(victim.qos).priority

    def order(self, victim: Job) -> tuple[int, int, int]:
        """Slurm takes those with the least first; the last is how old the record is."""
        if self.preemption.youngest_first:
            return -victim.start_time, 0, victim.id
        return self.rank(victim), len(hostlist.expand_readable(victim.nodes)), victim.id

    def _partition(self, name: str) -> Partition:
        return self.partitions.get(name, _NO_PARTITION)

    def _qos(self, name: str) -> QosPreemption:
        return self.preemption.qos.get(name, _NO_QOS)


def slurms_choice(
    state: S,
    ordered: Sequence[T],
    leave: Callable[[S, T], S],
    fits: Callable[[S], bool],
    reorder_count: int,
) -> tuple[tuple[T, ...], S] | None:
    """Whom of those on a node Slurm preempts, and the state of the node without them.

    `ordered` are those it may preempt, in its order; they `leave` one by one until what is wanted
    `fits`. None if it never does. Then Slurm tries again with the last one first, which leaves out
    those that were too small to matter.
    """
    taken = _first_enough(state, ordered, leave, fits)
    for _ in range(reorder_count + 1):
        if taken is None or len(taken[0]) < 2:
            break
        *others, last = taken[0]
        taken = _first_enough(state, (last, *others), leave, fits)
    return taken


def _first_enough(
    state: S, ordered: Sequence[T], leave: Callable[[S, T], S], fits: Callable[[S], bool]
) -> tuple[tuple[T, ...], S] | None:
    for n, one in enumerate(ordered):
        if fits(state):
            return tuple(ordered[:n]), state
        state = leave(state, one)
    return (tuple(ordered), state) if fits(state) else None
