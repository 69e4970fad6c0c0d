"""The model of Slurm's backfill: jobs are planned by priority, each on whole nodes; what does not
delay those before it starts."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass, field

from slurm_het.simulation.choice import choose, ends_looked_at, free_from
from slurm_het.simulation.jobs import JobRun, NodeAsk
from slurm_het.simulation.slurm import Slurm
from slurm_het.simulation.world import Machine

RESOLUTION = 60.0
"""bf_resolution: the times of what is planned are multiples of that."""
MOST_TRIES = 40
NEVER = float("inf")


@dataclass(frozen=True, slots=True)
class _Planned:
    """Nodes that a job that waits is to have, from `begin` to `end`."""

    begin: float
    end: float
    nodes: frozenset[str]


@dataclass
class BackfillPasses:
    """Passes of the backfill scheduler over a Slurm. Unless it `protects`, nobody who waits is
    planned: whoever has room starts."""

    slurm: Slurm
    protects: bool = True
    due: float = 0.0
    last: float = -1.0
    _planned: list[_Planned] = field(default_factory=list)
    _free: dict[tuple[str, NodeAsk], float | None] = field(default_factory=dict)
    _before: dict[object, float] = field(default_factory=dict)

    def wanted(self) -> bool:
        """Whether anything has changed since the last pass."""
        slurm = self.slurm
        return slurm.settings.backfills and slurm.changed >= self.last and bool(slurm.pending)

    def run(self) -> list[JobRun]:
        """One pass; returns what it started."""
        slurm = self.slurm
        self.last, self.due = slurm.now, slurm.now + slurm.settings.bf_interval
        self._planned, self._free, self._before = [], {}, {}
        started: list[JobRun] = []
        for tested, (run, partition) in enumerate(list(slurm.queue())):
            if tested >= slurm.settings.max_job_test:
                break
            if run.state != "PENDING" or not slurm.limits.allow(run.spec, slurm.running.values()):
                continue
            if self._one(run, partition):
                started.append(run)
                self._free = {}
        return started

    def _one(self, run: JobRun, partition: str) -> bool:
        """Start or plan one job; whether it has started."""
        spec, slurm = run.spec, self.slurm
        # What is planned only grows: who asks for the same starts no sooner than the one before.
        like = partition, run.features, spec.ask, spec.nodes, spec.minutes, run.req_nodes
        at = self._before.get(like, slurm.now)
        length = spec.minutes * 60
        for _ in range(MOST_TRIES if at < NEVER else 0):
            usable, overlap = slurm.usable(run, partition, at)
            later = self._next_change(at, overlap)
            names = {
                name
                for name in usable - self._taken(at, at + length)
                if not slurm.machines[name].down
            }
            self._before[like] = at
            found = self._soonest(run, names) if len(names) >= spec.nodes else None
            if found is None:
                if later is None:
                    self._before[like] = NEVER
                    return False
                at = later
                continue
            when, nodes = found
            begin = max(when, at)
            if begin <= slurm.now:
                slurm.start(run, partition, nodes)
                return True
            if later is not None and begin > later:
                at = later
                continue
            if begin > slurm.now + slurm.settings.bf_window:
                return False
            if frozenset(nodes) & self._taken(begin, begin + length):
                at = begin
                continue
            self._plan(begin, begin + length, nodes)
            return False
        return False

    def _plan(self, begin: float, end: float, nodes: list[str]) -> None:
        if not self.protects:
            return
        begin = max(begin // RESOLUTION * RESOLUTION, self.slurm.now)
        end = max(end // RESOLUTION * RESOLUTION, begin + RESOLUTION)
        self._planned.append(_Planned(begin, end, frozenset(nodes)))

    def _taken(self, begin: float, end: float) -> set[str]:
        """The nodes that are planned for others at some time in between."""
        return {n for p in self._planned if p.begin <= end and p.end > begin for n in p.nodes}

    def _next_change(self, at: float, overlap: bool) -> float | None:
        """When other nodes than at `at` may be had."""
        times = [t for p in self._planned for t in (p.end, p.begin) if t > at]
        if overlap:
            times += [kept.end + 1 for kept in self.slurm.kept if kept.end > at]
        return min(times, default=None)

    def _soonest(self, run: JobRun, names: Set[str]) -> tuple[float, list[str]] | None:
        """When and where it could start on these nodes as running jobs end, by their limits."""
        slurm, spec = self.slurm, run.spec
        if now := slurm.select(run, names):
            return slurm.now, now
        machines = [slurm.machines[name] for name in names]
        free = {
            machine.name: when
            for machine in machines
            if (when := self._free_at(machine, spec.ask)) is not None
        }
        exact = free_from(free, spec.nodes)
        if exact is None:
            return None
        ends = {other.limit_end for machine in machines for other in machine.jobs.values()}
        when = next((end for end in ends_looked_at(ends) if end >= exact), exact)
        there = [
            (machine.index, machine.name, self._cpus_at(machine, when))
            for machine in machines
            if free.get(machine.name, float("inf")) <= when
        ]
        nodes = choose(there, spec.nodes, spec.nodes * spec.ask.cpus)
        return (max(when, slurm.now + 1), nodes) if nodes else None

    def _free_at(self, machine: Machine, ask: NodeAsk) -> float | None:
        """When the node has room for that, if nothing else starts there."""
        key = machine.name, ask
        if key not in self._free:
            self._free[key] = self._work_out(machine, ask)
        return self._free[key]

    def _work_out(self, machine: Machine, ask: NodeAsk) -> float | None:
        if not machine.could_ever(ask):
            return None
        if machine.pick(ask) is not None:
            return self.slurm.now
        gone: list[JobRun] = []
        when: float | None = None
        for run in sorted(machine.jobs.values(), key=lambda run: run.limit_end):
            machine.take(run.spec.ask, run.where[machine.name], -1)
            gone.append(run)
            if machine.pick(ask) is not None:
                when = run.limit_end
                break
        for run in gone:
            machine.take(run.spec.ask, run.where[machine.name])
        return when

    def _cpus_at(self, machine: Machine, when: float) -> int:
        ended = (run for run in machine.jobs.values() if run.limit_end <= when)
        return machine.cpus_free + sum(run.spec.ask.cpus for run in ended)
