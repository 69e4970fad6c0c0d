"""The pure planning cycle in simulated time: arrivals, ends and plans, without Slurm.

A simulation keeps job records as Slurm would show them, and after every arrival and end runs what
hetd's cycle runs (core/planner/proposal.py). What is placed starts at
once and runs as long as `Arrival.seconds` says of its placement. Time is in seconds.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from slurm_het.core.cluster.inventory import Inventory
from slurm_het.core.jobs.paces import Paces
from slurm_het.core.model import Job, NodeRecord, Partition, Placement, Snapshot, Task
from slurm_het.core.planner.pins import Pins
from slurm_het.core.planner.plan import Solve
from slurm_het.core.planner.proposal import Memory, decide, observe, prepare
from slurm_het.core.policy import Limits, Policy
from slurm_het.core.syntax import hostlist
from slurm_het.core.syntax.gres import Gres
from slurm_het.core.worth.forecast import Forecast
from slurm_het.settings import PlannerSettings


@dataclass(frozen=True)
class Arrival:
    """A job that comes at `time`, as the hook leaves it in the intake."""

    time: float
    job: Job
    seconds: Callable[[Placement], float]


@dataclass(frozen=True)
class Outcome:
    """When a job came, started and ended, and where it ran."""

    job: Job
    arrived: float
    started: float
    ended: float
    placement: Placement


Expect = Callable[[Iterable[Task], Inventory], Forecast]
"""What jobs to expect, given those that wait: see `slurm_het.daemon.expectation`."""


def nothing(_tasks: Iterable[Task], _inventory: Inventory) -> Forecast:
    """No expectation."""
    return Forecast()


@dataclass
class Simulation:
    """A cluster (`nodes` idle at first) under the planner. `run` gives an outcome per job.

    `limits` are hetd's as delivered. Nobody is pinned ahead: no partition but the pools has the
    nodes.
    """

    nodes: tuple[NodeRecord, ...]
    partitions: tuple[Partition, ...]
    policy: Policy
    solve: Solve
    limits: Limits = PlannerSettings().limits
    paces: Paces = field(default_factory=Paces)
    expect: Expect = nothing
    now: float = 0.0
    waiting: dict[int, Arrival] = field(default_factory=dict)
    running: dict[str, tuple[Job, Task]] = field(default_factory=dict)
    ends: list[tuple[float, str]] = field(default_factory=list)
    outcomes: dict[str, Outcome] = field(default_factory=dict)

    def run(self, arrivals: Iterable[Arrival]) -> list[Outcome]:
        """Run all arrivals to their ends. Raises RuntimeError if a job can never start."""
        coming = sorted(arrivals, key=lambda a: a.time, reverse=True)
        while coming or self.ends:
            self.now = min([e[0] for e in self.ends[:1]] + [a.time for a in coming[-1:]])
            while self.ends and self.ends[0][0] <= self.now:
                del self.running[heapq.heappop(self.ends)[1]]
            while coming and coming[-1].time <= self.now:
                arrival = coming.pop()
                self.waiting[arrival.job.id] = arrival
            self._cycle()
        if self.waiting:
            names = [a.job.name for a in self.waiting.values()]
            raise RuntimeError(f"never started: {names}")
        return list(self.outcomes.values())

    def _cycle(self) -> None:
        """Plan until nothing more starts, like hetd while its cycles find more to do."""
        while self.waiting:
            # A job that the hook did not prepare is planned as it is: nobody is there to adopt it.
            memory = Memory(Pins(math.inf, 0.0), not_adopted=set(self.waiting))
            memory.paces = self.paces
            observed = observe(self._snapshot(), self.policy, memory, self.now)
            prepared = prepare(observed, self.limits, memory, self.now)
            expected = self.expect(prepared.queue.tasks, prepared.room)
            placements = decide(prepared, expected, self.solve).placements
            by_key = {task.key: task for task in prepared.window}
            for placement in placements:
                task = by_key[placement.key]
                self._start(self.waiting.pop(task.job_id), task, placement)
            if not placements:
                return

    def _start(self, arrival: Arrival, task: Task, placement: Placement) -> None:
        end = self.now + arrival.seconds(placement)
        minutes = task.minutes or 60
        job = replace(
            arrival.job,
            state="RUNNING",
            partition=placement.partition,
            nodes=hostlist.fold(placement.nodes),
            gres_detail=tuple(self._detail(task, placement)),
            cpus=sum(slot.cpus for slot in task.slots),
            start_time=int(self.now),
            end_time=int(self.now + minutes * 60),
            time_limit_minutes=minutes,
        )
        self.running[task.key] = job, task
        heapq.heappush(self.ends, (end, task.key))
        self.outcomes[task.key] = Outcome(job, arrival.time, self.now, end, placement)

    @staticmethod
    def _detail(task: Task, placement: Placement) -> Iterable[str]:
        order = sorted(zip(placement.nodes, placement.devices, strict=True))
        for _, indexes in order:
            if task.takes_share:
                yield str(Gres("shard", None, task.memory_gib, indexes=indexes))
            else:
                yield str(Gres("gpu", None, len(indexes), indexes=indexes))

    def _snapshot(self) -> Snapshot:
        """What Slurm would print now."""
        cpus: dict[str, int] = {}
        memory: dict[str, int] = {}
        for _, task in self.running.values():
            for name, slot in zip(self.outcomes[task.key].placement.nodes, task.slots, strict=True):
                cpus[name] = cpus.get(name, 0) + slot.cpus
                memory[name] = memory.get(name, 0) + slot.memory_mib
        nodes = tuple(
            replace(n, cpus_alloc=cpus.get(n.name, 0), memory_alloc_mib=memory.get(n.name, 0))
            for n in self.nodes
        )
        waiting = (arrival.job for arrival in self.waiting.values())
        jobs = (*(job for job, _ in self.running.values()), *waiting)
        return Snapshot(self.now, jobs, nodes, self.partitions)
