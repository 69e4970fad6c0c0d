"""What the next job to be submitted would find: jobs that nobody has submitted, of lowest priority,
held against what is free as hetd would hold real ones.

They are of nobody: whom a partition admits, and what a limit leaves him, is not looked at.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from math import inf

from slurm_het.core.assignment.first_fit import greedy
from slurm_het.core.cluster.fit import (
    could_start,
    fits_type,
    fitting_states,
    grid_for,
    has_room,
)
from slurm_het.core.cluster.inventory import Inventory
from slurm_het.core.cluster.pinned import Pin, room_beside
from slurm_het.core.jobs.cluster_facts import ClusterFacts
from slurm_het.core.jobs.mark import encode_comment
from slurm_het.core.jobs.pool_defaults import NO_WALLS, given_by_slurm
from slurm_het.core.jobs.reading import read_job
from slurm_het.core.jobs.request import TIME_LIMIT
from slurm_het.core.memory_defaults import NO_DEFAULTS, MemoryDefaults
from slurm_het.core.model import Classification, Device, Job, Partition, Task
from slurm_het.core.planner.plan import plan
from slurm_het.core.planner.proposal import Prepared
from slurm_het.core.policy import Policy, Pool
from slurm_het.core.reasons.idle import Cause, Idle
from slurm_het.core.reservations.closings import Closings
from slurm_het.core.reservations.owned import owners_of
from slurm_het.core.reservations.reservation import coming_free, keep_free
from slurm_het.core.reservations.whole_nodes import keep_whole

LAST = 1 << 40
"""The id of a probe: of equal priority, those that came before go first."""
TOGETHER = 8
"""So many numbers of nodes are tried one by one, from the largest down, for a job of several nodes:
the network may hold a larger job, and not a smaller one that Slurm keeps inside a part of it."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a probe asks: so many devices of a GRES on each of its nodes, in a pool."""

    pool: str
    gres: str
    type: str
    vendor: str
    devices: int = 1
    nodes: int = 1


@dataclass(frozen=True, slots=True)
class ProbeOptions:
    """`minutes` is the time limit of a probe; None: the one that Slurm gives in its pool.

    `memory`: the cluster's defaults, for where a pool's partition has none; None: Slurm does not
    deal out host memory. `gate_open`: Slurm plans by itself.
    """

    minutes: int | None = None
    memory: MemoryDefaults | None = NO_DEFAULTS
    gate_open: bool = False


class Probes:
    """Asks what a job would find, once what can start by now has started."""

    def __init__(self, prepared: Prepared, options: ProbeOptions) -> None:
        self.prepared, self.policy, self.options = prepared, prepared.policy, options
        made = plan(prepared.room, prepared.window, prepared.policy, greedy).placements
        waiting = {task.key: task for task in prepared.window}
        next_ones = tuple(Pin(waiting[p.key], p, 0.0) for p in made)
        self.starting = frozenset(pin.task.key for pin in next_ones)
        self.room = room_beside(prepared.room, next_ones)
        self.closings = Closings.of(prepared.snapshot, self.room)
        self.owners = owners_of(prepared.snapshot)
        facts = ClusterFacts.of(prepared.snapshot, prepared.inventory, prepared.policy)
        opened = {name: _opened(p) for name, p in facts.partitions.items()}
        self._facts = replace(facts, partitions=opened)
        self._tasks: dict[Asked, Task | None] = {}

    def task(self, asked: Asked) -> Task | None:
        """The probe; None if such a job is never planned. It is not kept off any nodes yet."""
        if asked not in self._tasks:
            outcome = read_job(self._job(asked), self._facts).outcome
            self._tasks[asked] = outcome if isinstance(outcome, Task) else None
        return self._tasks[asked]

    def _job(self, asked: Asked) -> Job:
        pool = self.policy.pool(asked.pool)
        scenario = pool.scenario if pool else "training"
        what = Classification(scenario, (asked.vendor,), (asked.type,), (asked.pool,))
        minutes = self.options.minutes
        mark = encode_comment(what, {TIME_LIMIT: str(minutes) if minutes else ""})
        now = int(self.prepared.snapshot.time)
        partition = self._facts.partitions.get(asked.pool)
        memory = self.options.memory
        if memory and partition and any(partition.memory):
            memory = NO_DEFAULTS  # the partition's are applied
        per_gpu, per_cpu, per_node = memory or NO_DEFAULTS
        named = memory is None or per_gpu or per_cpu
        return Job(
            LAST, partition=self.policy.intake_partition, priority=1, admin_comment=mark,
            tres_per_node=f"{asked.gres}:{asked.devices}", nodes_min=asked.nodes,
            nodes_max=asked.nodes, tasks=asked.nodes, cpus=asked.nodes,
            memory_per_node_mib=None if named else per_node, memory_per_gpu_mib=per_gpu or None,
            memory_per_cpu_mib=None if per_gpu else per_cpu or None,
            time_limit_minutes=minutes or self._given, submit_time=now, eligible_time=now,
        )  # fmt: skip

    @cached_property
    def _given(self) -> int | None:
        """The minutes that Slurm gives a job without --time in the intake."""
        intake = self._facts.partitions.get(self.policy.intake_partition)
        return given_by_slurm(intake, NO_WALLS) if intake else None

    def kept_off(self, task: Task) -> Task:
        """The probe, kept off the nodes that are closed to it or kept for others."""
        (task,) = self.closings.keep_off((task,), self.room)
        if self.options.gate_open:
            return task
        prepared = self.prepared
        now, ahead = prepared.snapshot.time, prepared.ahead
        (task,) = keep_free((task,), ahead.reservations, self.room, now)
        if task.takes_share:
            task = task.off(frozenset(self._kept_whole))
        return prepared.shield.further(task)

    @cached_property
    def _kept_whole(self) -> dict[str, str]:
        """By node that is kept free of shares, for whom (22.05 alone)."""
        coming = coming_free(self.prepared.snapshot, self.policy)
        return keep_whole(self.prepared.queue.tasks, self.room, coming)[1]

    def keeper(self, name: str) -> Idle:
        """For whom a node is kept that a probe was kept off; of several, who has it first: what
        ends before that may start."""
        now = self.prepared.snapshot.time
        if owner := self.owners.get(name):
            until = owner.until if owner.until < inf else 0.0
            return Idle(Cause.HELD, f"{owner.user} has the node alone", time=until)
        found = [
            (record.start, Idle(Cause.RESERVED, record.name, time=max(0.0, record.start)))
            for record in self.prepared.snapshot.reservations
            if name in record.nodes and record.end > now
        ]
        made = [r for r in self.prepared.ahead.reservations if name in r.placement.nodes]
        made += [first] if (first := self.prepared.shield.first_on(name)) else []
        for one in () if self.options.gate_open else made:
            found.append((one.start, Idle(Cause.HELD, job=one.task.key, time=one.start)))
        if found:
            return min(found, key=lambda one: one[0])[1]
        return Idle(Cause.HELD, job=self._kept_whole.get(name, ""), what="keeps it free of shares")

    def startable(self, asked: Asked) -> Task | None:
        """The probe, kept off what is not for it, if it would start now."""
        task = self.task(asked)
        task = self.kept_off(task) if task else None
        return task if task and could_start(task, self.room) else None

    def nodes_of_a_job(self, pool: str) -> tuple[int, int | None]:
        """How many nodes the pool's partition lets a job have, at least and at most."""
        partition = self._facts.partitions.get(pool, Partition(pool))
        return max(1, partition.min_nodes), partition.max_nodes

    def free_nodes(self, task: Task) -> list[str]:
        """The nodes with room for a probe's largest slot now."""
        grid = grid_for(task, self.room)
        return [
            name
            for s in fitting_states(task, grid)
            if has_room(task, task.largest_slot, grid.states[s].node)
            for name in grid.states[s].names
            if name not in task.exc_nodes
        ]


@dataclass(frozen=True, slots=True)
class Largest:
    """The largest job that would start now: `devices` on each of so many `nodes`.

    `on` are nodes that have as much free. `share_gib`: the largest share of one device; 0: none.
    """

    devices: int
    nodes: int
    on: tuple[str, ...]
    share_gib: int


NO_JOB = Largest(0, 0, (), 0)


def largest_now(probes: Probes, pool: Pool, devices: list[Device]) -> Largest:
    """The largest job for the devices of one type in a pool."""
    asked = Asked(pool.partition, asks_for(devices), devices[0].type, devices[0].vendor)
    names = {d.node for d in devices}
    room = [probes.room.nodes[name] for name in sorted(names)]
    most = max(sum(d.empty for d in node.devices) for node in room)
    share = _largest_share(probes, asked, sorted(names))
    least, _ = probes.nodes_of_a_job(pool.partition)
    for count in range(most, 0, -1):
        one = replace(asked, devices=count, nodes=least)
        if task := probes.startable(one):
            free = probes.free_nodes(task)
            return Largest(count, _together(probes, one, len(free)), tuple(free), share)
    return Largest(0, 0, (), share)


def asks_for(devices: list[Device]) -> str:
    """The GRES that a job asks for to get any of these devices."""
    gres = {d.gres for d in devices}
    return gres.pop() if len(gres) == 1 else devices[0].gres.partition(":")[0]


def _together(probes: Probes, asked: Asked, nodes: int) -> int:
    """On how many nodes at once such a job would start, at most; it does on as many as it asks."""
    starts, most = asked.nodes, probes.nodes_of_a_job(asked.pool)[1]
    count = min(nodes, most if most is not None else nodes)
    for _ in range(TOGETHER):
        if count <= starts or probes.startable(replace(asked, nodes=count)):
            return max(count, starts)
        count -= 1
    while starts < count:
        half = (starts + count + 1) // 2
        if probes.startable(replace(asked, nodes=half)):
            starts = half
        else:
            count = half - 1
    return starts


def _largest_share(probes: Probes, asked: Asked, names: list[str]) -> int:
    shared = share_name(probes.policy)
    nodes = [probes.room.nodes[name] for name in names]
    there = (d for node in nodes if node.has_shards for d in node.devices if d.type == asked.type)
    for gib in sorted({d.free_gib for d in there}, reverse=True) if shared else ():
        if gib and probes.startable(replace(asked, gres=shared, devices=gib)):
            return gib
    return 0


def share_name(policy: Policy) -> str:
    """The GRES name of shares; '' if the site has none."""
    return next((name for name, gres in policy.gres.items() if gres.shared), "")


def _opened(partition: Partition) -> Partition:
    """The partition as it is for whom it admits."""
    none = frozenset[str]()
    return replace(
        partition, state="UP", allow_groups=none, allow_accounts=none, deny_accounts=none,
        allow_qos=none, deny_qos=none, alloc_nodes=none, root_only=False, root_disabled=False,
        reservation_required=False,
    )  # fmt: skip


def requests_waiting(prepared: Prepared, starting: frozenset[str]) -> Iterator[Task]:
    """What is asked for by those that wait for devices, each request once."""
    waiting = [t for t in prepared.queue.tasks if t.key not in starting]
    waiting += [pin.task for pin in prepared.pins if pin.start]
    yield from {task.request: None for task in waiting}


def wanted_types(inventory: Inventory, requests: Iterator[Task]) -> dict[int, set[str]]:
    """By the number of a node's state, the device types that somebody waits for there."""
    wanted: dict[int, set[str]] = {}
    grid = inventory.grid
    for task in requests:
        for s in fitting_states(task, grid):
            types = {d.type for d in grid.states[s].node.devices if fits_type(task, d)}
            wanted.setdefault(s, set()).update(types)
    return wanted
