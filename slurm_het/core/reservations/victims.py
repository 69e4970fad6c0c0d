"""The running jobs that may be preempted: what each gives back, what that throws away, for whom."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from operator import itemgetter
from typing import NamedTuple

from slurm_het.core.cluster.holdings import held_indexes
from slurm_het.core.cluster.occupancy import give_back
from slurm_het.core.cluster.preemptable import Rules
from slurm_het.core.model import Job, Node, Placement, Snapshot, Task
from slurm_het.core.policy import Policy
from slurm_het.core.reasons import PreemptsFirst, Reason, RoomIsMade
from slurm_het.core.reservations.reservation import ComingFree, given_back

LOOK_SECONDS = 45.0
"""Slurm ends a job whose grace time is over up to so much later (seen: 16 s; 22.05)."""


@dataclass(frozen=True, slots=True)
class Victim:
    """Running jobs that Slurm preempts together: one, or all components of a heterogeneous one.

    `rank` and `order` as in Rules; `lost` are the device-seconds that they have used, and `gives`
    what they give back on each of their nodes, `devices` how many devices these have of it.
    """

    jobs: tuple[Job, ...]
    rank: int
    order: tuple[int, int, int]
    grace_seconds: int
    lost: float
    gives: Mapping[str, tuple[ComingFree, ...]]
    devices: Mapping[str, int]

    @property
    def key(self) -> str:
        """The key of the (first) job."""
        return self.jobs[0].key


@dataclass(frozen=True, slots=True)
class Eviction:
    """A task that starts where `victims` (the keys of their jobs) are to make room for it.

    There are none where those that are preempted already leave it enough.
    They have `grace_seconds` to end; `lost` are the device-seconds that are thrown away.
    """

    task: Task
    placement: Placement
    victims: tuple[str, ...]
    grace_seconds: int
    lost: float

    @property
    def patience(self) -> float:
        """For how many seconds more than others the task may wait where it is released to."""
        return self.grace_seconds + LOOK_SECONDS if self.grace_seconds else 0.0

    @property
    def reason(self) -> Reason:
        """Why the task waits until then."""
        nodes = self.placement.nodes
        return PreemptsFirst(len(self.victims), nodes) if self.victims else RoomIsMade(nodes)


def victims_of(snapshot: Snapshot, seekers: Iterable[Task], policy: Policy) -> Iterator[Victim]:
    """The running jobs that any of the tasks outranks, in the order in which Slurm preempts."""
    rules = Rules.of(snapshot)
    running = [job for job in snapshot.jobs if job.holds_nodes]
    outranked = _outranked(rules, running, list(_keenest(snapshot, seekers)))
    together: dict[int, list[Job]] = {}
    for job in running if outranked else ():
        together.setdefault(job.het_job_id or job.id, []).append(job)
    victims = (
        _victim(tuple(jobs), rules, policy)
        for jobs in together.values()
        if all((job.qos, job.partition) in outranked for job in jobs)
    )
    yield from sorted(victims, key=lambda victim: victim.order)


def _keenest(snapshot: Snapshot, seekers: Iterable[Task]) -> Iterator[tuple[Job, str]]:
    """Of the tasks of a QOS the job with the highest priority, and a pool that it may use."""
    jobs = {job.id: job for job in snapshot.jobs}
    first: dict[tuple[str, str], Job] = {}
    for task in seekers:
        job = jobs.get(task.job_id)
        if job is None:
            continue
        for pool in task.pools:
            known = first.setdefault((job.qos, pool), job)
            if known.priority < job.priority:
                first[job.qos, pool] = job
    return ((job, pool) for (_, pool), job in first.items())


def _outranked(
    rules: Rules, running: Iterable[Job], keenest: Sequence[tuple[Job, str]]
) -> frozenset[tuple[str, str]]:
    """The QOSs and partitions with running jobs that any of the keenest outranks."""
    meekest: dict[tuple[str, str], Job] = {}
    for job in running if keenest else ():
        known = meekest.setdefault((job.qos, job.partition), job)
        if known.priority > job.priority:
            meekest[job.qos, job.partition] = job
    return frozenset(
        kind
        for kind, victim in meekest.items()
        if any(rules.outranks(job, pool, victim) for job, pool in keenest)
    )


def _victim(jobs: tuple[Job, ...], rules: Rules, policy: Policy) -> Victim:
    gives: dict[str, list[ComingFree]] = {}
    devices: Counter[str] = Counter()
    lost = 0.0
    for job in jobs:
        suspended = rules.is_suspended(job)
        for node, given in given_back(job, policy).items():
            left = replace(given, key="", memory_mib=0) if suspended else given
            gives.setdefault(node, []).append(left)
        if suspended:
            continue
        held = {node: len(indexes) for node, indexes in held_indexes(job, policy).items()}
        devices.update(held)
        lost += sum(held.values()) * max(0.0, rules.now - job.start_time)
    return Victim(
        jobs,
        max(map(rules.rank, jobs)),
        rules.order(jobs[0]),
        max(map(rules.grace_seconds, jobs)),
        lost,
        {node: tuple(there) for node, there in gives.items()},
        devices,
    )


class Cost(NamedTuple):
    """What counts, in this order: Slurm's own ranks, how soon there is room, what is lost.

    `ranks` is 0 if nobody is preempted.
    """

    ranks: int = 0
    grace_seconds: int = 0
    lost: float = 0.0
    jobs: int = 0


def cost_of(victims: Collection[Victim]) -> Cost:
    """What it costs to preempt them."""
    return Cost(
        max((victim.rank + 1 for victim in victims), default=0),
        max((victim.grace_seconds for victim in victims), default=0),
        sum(victim.lost for victim in victims),
        sum(len(victim.jobs) for victim in victims),
    )


def least_cost(victims: Collection[Victim], node: str, devices: int) -> Cost | None:
    """No less than this it costs to free so many devices of a node; None if they have not as many.

    It is soon worked out: large clusters have many nodes, and most cost more than that elsewhere.
    """
    holding = [(v.lost / has, has) for v in victims if (has := v.devices.get(node))]
    lost, left = 0.0, devices
    for each, has in sorted(holding):
        lost += each * min(has, max(0, left))
        left -= has
    if left > 0 or not victims:
        return None
    jobs, left = 1, devices
    for _, has in sorted(holding, key=itemgetter(1), reverse=True):
        left -= has
        jobs += left > 0
    ranks, graces = min(v.rank for v in victims) + 1, min(v.grace_seconds for v in victims)
    return Cost(ranks, graces, lost, jobs)


def without(node: Node, victim: Victim) -> Node:
    """The node once they are gone."""
    for given in victim.gives.get(node.name, ()):
        node = give_back(node, given.key, given.cpus, given.memory_mib)
    return node
