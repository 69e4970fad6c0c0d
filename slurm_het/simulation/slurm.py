"""A model of slurmctld in simulated time: the main scheduler, and what users and hetd tell it.

What is modelled is what sched/backfill and select/cons_tres of 22.05 do with the jobs of a mix
(its sources say so, and replays on a real one: docs/compare.md). A pass of the main scheduler
goes through the queue by priority; whoever finds no room closes his partition for all below him, a
job with a node list only those nodes. Jobs at a limit are passed over, and so are those that a
partition's own limits keep out of it. Of two partitions the one of the higher tier goes first. An
array is one record of the queue: its tasks are tried until one finds no place.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from typing import NamedTuple

from slurm_het.core.backfill import USUAL, Backfill
from slurm_het.core.syntax.constraint import parse_features
from slurm_het.core.syntax.hostlist import expand
from slurm_het.simulation.choice import choose
from slurm_het.simulation.free_times import FreeTimes
from slurm_het.simulation.jobs import JobRun, JobSpec
from slurm_het.simulation.limits import LimitsAtWork
from slurm_het.simulation.world import KeptNodes, Machine, World

QUEUE_DEPTH = 100
"""So many jobs a pass looks at that a submission or an end has called for (Slurm's default)."""


Hook = Callable[[JobRun], None]
"""What changes a job as it is submitted."""


@dataclass(frozen=True)
class Settings:
    """slurm.conf's SchedulerParameters, in seconds: as Slurm has them by default.
    Of `backfill` hetd is told as well."""

    backfill: Backfill = USUAL
    bf_interval: float = 30.0
    sched_delay: float = 3.0
    sched_interval: float = 60.0
    queue_depth: int = QUEUE_DEPTH
    bf_resolution: float = 60.0
    backfills: bool = True


class QueueRecord(NamedTuple):
    """What waits in a partition: a job, or the tasks of an array."""

    tasks: tuple[JobRun, ...]
    partition: str


@dataclass
class Slurm:
    """The state of slurmctld. `now` is moved by the simulation."""

    world: World
    settings: Settings
    now: float = 0.0
    machines: dict[str, Machine] = field(init=False)
    free: FreeTimes = field(init=False)
    limits: LimitsAtWork = field(init=False)
    partition_up: dict[str, bool] = field(init=False)
    jobs: dict[int, JobRun] = field(default_factory=dict)
    pending: dict[int, JobRun] = field(default_factory=dict)
    running: dict[int, JobRun] = field(default_factory=dict)
    kept: list[KeptNodes] = field(default_factory=list)
    sched_due: float = float("inf")
    last_sched: float = -60.0
    changed: float = 0.0
    """When anything last did, so that backfill has work."""
    _known: dict[tuple[str, str], frozenset[str]] = field(default_factory=dict)
    _line: list[JobRun] = field(default_factory=list)
    """Those who wait in a partition that is up, by priority."""

    def __post_init__(self) -> None:
        self.machines = self.world.machines()
        self.free = FreeTimes(self.machines)
        self.limits = LimitsAtWork(self.world.rules)
        records = self.world.records
        names = self.world.partitions
        self.partition_up = {n: n not in records or records[n].state == "UP" for n in names}
        self._tier = {n: records[n].tier if n in records else 1 for n in names}
        self._tiers = sorted(set(self._tier.values()), reverse=True)
        self._order = sorted(self.machines.values(), key=lambda machine: machine.index)

    # --- what users, jobs and hetd do ---

    def submit(self, spec: JobSpec, hook: Hook | None = None) -> JobRun:
        """A job comes, as the hook leaves it. Slurm starts no batch job as it is submitted, not on
        an idle cluster either: the main scheduler or backfill does, within a second. Who is known
        to have had his nodes from then on has them at once."""
        run = JobRun(
            spec, spec.partitions, spec.features, spec.priority, spec.gres, req_nodes=spec.on
        )
        if hook:
            hook(run)
        self._find_open(run)
        self.jobs[spec.id] = self.pending[spec.id] = run
        self._line_up(run)
        if spec.on:
            up = {machine.name for machine in self._order if not machine.down}
            for partition in run.partitions:
                if self.partition_up[partition] and not self.try_now(run, partition, up):
                    break
        self.touch()
        return run

    def finish(self, run: JobRun) -> None:
        """A running job has ended."""
        del self.running[run.spec.id]
        for name, devices in run.where.items():
            self.machines[name].take(run.spec.ask, devices, -1)
            del self.machines[name].jobs[run.spec.id]
        self.free.ended(run)
        run.state = "COMPLETED"
        self.touch()

    def withdraw(self, run: JobRun) -> None:
        """Its user cancels a job that waits."""
        self._leave_line(run)
        run.state = "CANCELLED"
        self.touch()

    def update(self, run: JobRun, fields: dict[str, str]) -> str:
        """scontrol update; returns why it is refused, '' if it is not."""
        if run.state != "PENDING":
            return "Job is no longer pending execution"
        if "Partition" in fields:
            self._step_out(run)
            run.partitions = tuple(fields["Partition"].split(","))
            self._find_open(run)
            self._line_up(run)
        if "ReqNodeList" in fields:
            run.req_nodes = frozenset(expand(fields["ReqNodeList"]))
        run.features = fields.get("Features", run.features)
        run.comment = fields.get("AdminComment", run.comment)
        run.reason = "None"
        self.touch()
        return ""

    def touch(self) -> None:
        """Something has changed: the main scheduler looks, within a second."""
        self.changed = self.now
        # It looks once a second. Records have whole seconds: half of one is right in the mean.
        due = max(int(self.now + 0.5) + 0.5, self.last_sched + self.settings.sched_delay)
        self.sched_due = min(self.sched_due, due)

    # --- the main scheduler ---

    def schedule(self) -> list[JobRun]:
        """One pass; returns what it started."""
        full = self.now >= self.last_sched + self.settings.sched_interval
        self.last_sched, self.sched_due = self.now, self.now + self.settings.sched_interval
        one = _MainPass(self, {machine.name for machine in self._order if not machine.down})
        started: list[JobRun] = []
        looked, rejected = 0, ("", "")
        for tasks, partition in self.queue():
            for run in tasks:
                array = run.spec.array, partition
                if run.state != "PENDING":
                    continue  # it has started in another partition
                if run.spec.array and array == rejected:
                    break
                looked += 1
                if not full and looked > self.settings.queue_depth:
                    return started
                if not one.starts(run, partition):
                    rejected = array if run.spec.array else rejected
                    break
                rejected = "", ""
                started.append(run)
        return started

    def keeps_for(self, run: JobRun) -> bool:
        """Whether nodes are kept for a job that waits."""
        return self.settings.backfill.keeps_for(run.priority, run.spec.at, self.now)

    def queue(self) -> Iterator[QueueRecord]:
        """What waits, each in each of its partitions that is up, by tier and priority."""
        up, tiers = self.partition_up, self._tier
        line = tuple(self._line)  # it changes while somebody goes through
        for tier in self._tiers:
            for _, together in groupby(line, _record_of):
                tasks = tuple(together)
                for name in tasks[0].open_to:
                    if up[name] and tiers[name] == tier:
                        yield QueueRecord(tasks, name)

    def _find_open(self, run: JobRun) -> None:
        """Who is known to have had his nodes may use his partitions."""
        admits, spec = self.world.admits, run.spec
        run.open_to = tuple(p for p in run.partitions if spec.on or admits(spec, p))

    def _leave_line(self, run: JobRun) -> None:
        del self.pending[run.spec.id]
        self._step_out(run)

    def _stands(self, run: JobRun) -> bool:
        """Whether it is in the line: one of its partitions is up."""
        return any(self.partition_up[name] for name in run.open_to)

    def _line_up(self, run: JobRun) -> None:
        if self._stands(run):
            insort(self._line, run, key=in_line)

    def _step_out(self, run: JobRun) -> None:
        if self._stands(run):
            del self._line[bisect_left(self._line, in_line(run), key=in_line)]

    def try_now(self, run: JobRun, partition: str, avail: set[str]) -> str:
        """Start it, or say why not: busy, drained, reserved."""
        usable, overlap = self.usable(run, partition, self.now)
        nodes = self.select(run, usable & avail)
        if nodes:
            self.start(run, partition, nodes)
            return ""
        if not self.could_ever(run, usable):
            return "reserved" if overlap else "never"
        return "busy" if self.could_ever(run, usable & avail) else "drained"

    def usable(self, run: JobRun, partition: str, at: float) -> tuple[frozenset[str], bool]:
        """The nodes that a job may have from then on, whoever holds them; and whether
        reservations of others keep it from some."""
        names = self.with_features(partition, run.features)
        if run.req_nodes:
            names = names & run.req_nodes
        end = at + run.spec.minutes * 60
        if run.spec.reservation:
            own = next((k for k in self.kept if k.name == run.spec.reservation), None)
            if own is None or not own.start <= at < own.end or end > own.end:
                return frozenset(), True
            return names & own.nodes, False
        if not self.kept:
            return names, False
        closed = {n for k in self.kept if k.start < end and k.end > at for n in k.nodes}
        return names - closed, bool(names & closed)

    def with_features(self, partition: str, features: str) -> frozenset[str]:
        """The nodes of a partition that have the features."""
        key = partition, features
        if key not in self._known:
            allows = parse_features(features).allows
            names = self.world.partitions[partition]
            self._known[key] = frozenset(n for n in names if allows(self.machines[n].host.features))
        return self._known[key]

    def could_ever(self, run: JobRun, names: Iterable[str]) -> bool:
        """Whether so many of the nodes would have room if nothing ran."""
        return len(self.free.ever(run.spec.ask).intersection(names)) >= run.spec.nodes

    def select(self, run: JobRun, names: Iterable[str]) -> list[str] | None:
        """The nodes where it starts now; None if there is no room."""
        there = self.free.able(run.spec.ask).intersection(names)
        if len(there) < run.spec.nodes:
            return None
        fitting = [
            (machine.index, machine.name, machine.cpus_free)
            for machine in map(self.machines.__getitem__, there)
            if not machine.down
        ]
        if len(fitting) < run.spec.nodes:
            return None
        return choose(fitting, run.spec.nodes, run.spec.nodes * run.spec.ask.cpus)

    def start(self, run: JobRun, partition: str, nodes: Iterable[str]) -> None:
        """It starts there."""
        ask = run.spec.ask
        for name in nodes:
            machine = self.machines[name]
            devices = machine.pick(ask)
            assert devices is not None  # noqa: S101  # select() has just said so
            machine.take(ask, devices)
            machine.jobs[run.spec.id] = run
            run.where[name] = devices
        self._leave_line(run)
        self.running[run.spec.id] = run
        run.state, run.partition, run.start = "RUNNING", partition, self.now
        run.limit_end = self.now + run.spec.minutes * 60
        run.end = min(self.now + run.spec.seconds, run.limit_end, run.spec.until)
        self.free.began(run)
        self.changed = self.now

    def open_or_shut(self, partition: str, up: bool) -> None:
        """Open or close a partition: the gate."""
        self.partition_up[partition] = up
        self._line = []
        for run in self.pending.values():
            self._line_up(run)


def in_line(run: JobRun) -> tuple[int, int]:
    """Where it stands in the line."""
    return -run.priority, run.spec.id


def _record_of(run: JobRun) -> object:
    """What the tasks of a record have in common. Who is told his nodes is one by himself: Slurm
    takes such a task out of its array."""
    array = run.spec.array
    return (array, run.open_to) if array and not run.req_nodes else run.spec.id


@dataclass
class _MainPass:
    """What a pass of the main scheduler has left: nodes, and whose turn is over."""

    slurm: Slurm
    avail: set[str]
    failed: set[str] = field(default_factory=set)
    failed_kept: set[str] = field(default_factory=set)

    def starts(self, run: JobRun, partition: str) -> bool:
        """Start a job, or note who has to wait behind it."""
        slurm, named = self.slurm, run.spec.reservation
        if named in self.failed_kept or (partition in self.failed and not named):
            return False
        if not slurm.limits.allow(run.spec, slurm.running.values()):
            return False
        names = slurm.world.partitions[partition]
        if len(self.avail & names) < run.spec.nodes:
            self._close(partition)
            return False
        why = slurm.try_now(run, partition, self.avail)
        if run.req_nodes and why:
            self.avail -= run.req_nodes
        elif why == "busy" and named:
            self.failed_kept.add(named)
        elif why == "busy" and slurm.keeps_for(run):
            self._close(partition)
        return not why

    def _close(self, partition: str) -> None:
        self.failed.add(partition)
        self.avail -= self.slurm.world.partitions[partition]
