"""The model of Slurm's backfill: jobs are planned by priority, each on whole nodes; what does not
delay those before it starts."""

from __future__ import annotations

from bisect import bisect_right, insort
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice, takewhile
from typing import Literal, NamedTuple

from slurm_het.simulation.choice import choose
from slurm_het.simulation.free_times import NOW, NodeBits
from slurm_het.simulation.jobs import JobRun
from slurm_het.simulation.slurm import QueueRecord, Slurm
from slurm_het.simulation.world import Machine

MOST_TRIES = 40
NEVER = float("inf")
AGAIN = 25
"""After so many jobs a pass looks who could still start."""
_Found = Literal["started", "planned", "no place"]
_Like = tuple[object, ...]
"""What a job asks for, as far as a pass is concerned."""


class _Planned(NamedTuple):
    """Nodes that a job that waits is to have, from `begin` to `end`."""

    begin: float
    end: float
    nodes: NodeBits


class _PassPlan:
    """All that a pass has planned: which nodes are taken at some time from one to another. It is
    asked hundreds of times, mostly about a time that goes beyond all begins."""

    def __init__(self) -> None:
        self._planned: list[_Planned] = []
        self._latest_begin = -NEVER
        self._ends: list[float] = []
        self._from_end: list[NodeBits] = [0]
        """Of each end the nodes of all that end then or later; of none at last."""

    def add(self, planned: _Planned) -> None:
        """Plan it."""
        self._planned.append(planned)
        self._latest_begin = max(self._latest_begin, planned.begin)
        place = bisect_right(self._ends, planned.end)
        self._ends.insert(place, planned.end)
        self._from_end.insert(place, self._from_end[place])
        for n in range(place + 1):
            self._from_end[n] |= planned.nodes

    def taken(self, begin: float, end: float) -> NodeBits:
        """The nodes that are taken at some time in between."""
        if self._latest_begin <= end:
            return self._from_end[bisect_right(self._ends, begin)]
        taken = 0
        for first, last, nodes in self._planned:
            if first <= end and last > begin:
                taken |= nodes
        return taken


def _like(run: JobRun, partition: str) -> _Like:
    spec = run.spec
    return (
        partition, run.features, spec.ask, spec.nodes, spec.minutes, run.req_nodes, spec.reservation
    )  # fmt: skip


@dataclass
class BackfillPasses:
    """Passes of the backfill scheduler over a Slurm. A pass that is not `whole` ends where nobody
    can start any more: what starts is the same, for the next pass plans anew."""

    slurm: Slurm
    whole: bool = False
    due: float = 0.0
    last: float = -1.0
    _made: _PassPlan = field(default_factory=_PassPlan)
    _changes: list[float] = field(default_factory=list)
    _down: NodeBits = 0
    _before: dict[_Like, float] = field(default_factory=dict)
    _looked: Counter[str] = field(default_factory=Counter)
    _hopeful: dict[_Like, tuple[JobRun, str]] = field(default_factory=dict)
    _rejected: tuple[str, str] = "", ""
    """The array of which a task has found no place, and the partition."""
    _array: tuple[str, int] = "", 0
    """The array of which tasks were planned last, and how many."""

    def wanted(self) -> bool:
        """Whether anything has changed since the last pass."""
        slurm = self.slurm
        return slurm.settings.backfills and slurm.changed >= self.last and bool(slurm.pending)

    def run(self) -> list[JobRun]:
        """One pass; returns what it started."""
        slurm = self.slurm
        self.last, self.due = slurm.now, slurm.now + slurm.settings.bf_interval
        self._made, self._changes, self._before = _PassPlan(), [], {}
        self._looked.clear()
        self._rejected, self._array = ("", ""), ("", 0)
        down = frozenset(name for name, there in slurm.machines.items() if there.down)
        self._down = slurm.free.bits_of(down)
        started: list[JobRun] = []
        most = slurm.settings.backfill.jobs
        queue = list(islice(slurm.queue(), most))
        self._hopeful = {_like(run, p): (run, p) for tasks, p in queue for run in tasks}
        for place, record in enumerate(queue):
            if place % AGAIN == 0:
                there = self._hopeful.items()
                self._hopeful = {like: one for like, one in there if self._fits_now(*one)}
            if self._looked.total() >= most or not (self._hopeful or self.whole):
                break
            started += self._record(record)
        return started

    def _record(self, record: QueueRecord) -> Iterator[JobRun]:
        """Start and plan its tasks, until one finds no place; each counts as a job."""
        slurm, partition = self.slurm, record.partition
        for run in record.tasks:
            array, like = run.spec.array, _like(run, partition)
            if run.state != "PENDING":
                continue
            if (array and self._rejected == (array, partition)) or not slurm.limits.allow(
                run.spec, slurm.running.values()
            ):
                return
            if self._over(run.spec.user):
                return
            found = self._one(run, partition, like)
            if found == "started":
                self._rejected = "", ""
                yield run
                continue
            self._hopeful.pop(like, None)  # nor do those behind him start who ask the same
            if found == "no place":
                self._rejected = (array, partition) if array else self._rejected
                return
            self._rejected = "", ""
            if not self._another_of(array) or not (self._hopeful or self.whole):
                return

    def _another_of(self, array: str) -> bool:
        """Whether one more task of an array is planned, after this one."""
        if not array:
            return False
        last, many = self._array
        self._array = array, many + 1 if last == array else 1
        return self._array[1] < self.slurm.settings.backfill.of_array

    def _over(self, user: str) -> bool:
        """Whether this pass has looked at as many jobs of the user as it may. Else one more."""
        over = 0 < self.slurm.settings.backfill.of_user <= self._looked[user]
        self._looked[user] += not over
        return over

    def _fits_now(self, run: JobRun, partition: str) -> bool:
        """Whether it could start now beside what is planned as yet."""
        nodes, _ = self._left_for(run, partition, self.slurm.now)
        return self.slurm.free.fit_now(run.spec.ask, nodes, run.spec.nodes)

    def _left_for(self, run: JobRun, partition: str, at: float) -> tuple[NodeBits, bool]:
        """The nodes that it may have from then on and that nobody is planned on; and whether
        reservations of others keep it from some."""
        usable, overlap = self.slurm.usable(run, partition, at)
        taken = self._made.taken(at, at + run.spec.minutes * 60) | self._down
        return self.slurm.free.bits_of(usable) & ~taken, overlap

    def _one(self, run: JobRun, partition: str, like: _Like) -> _Found:
        """Start or plan one job."""
        spec, slurm = run.spec, self.slurm
        # What is planned only grows: who asks for the same starts no sooner than the one before.
        at = self._before.get(like, slurm.now)
        length = spec.minutes * 60
        for _ in range(MOST_TRIES if at < NEVER else 0):
            nodes, overlap = self._left_for(run, partition, at)
            later = self._next_change(at, overlap)
            self._before[like] = at
            when = self._soonest(run, nodes)
            if when is None:
                if later is None:
                    self._before[like] = NEVER
                    return "no place"
                at = later
                continue
            begin = at if when <= slurm.now else max(at, when, slurm.now + 1)
            if begin > slurm.now and later is not None and begin > later:
                at = later
                continue
            if begin > slurm.now and not slurm.keeps_for(run):
                return "no place"
            if begin > slurm.now + slurm.settings.backfill.window_seconds:
                self._before[like] = NEVER
                return "no place"
            # Only now is chosen among them: most times that are tried are not taken.
            chosen = self._choose(run, nodes, when)
            if begin <= slurm.now:
                slurm.start(run, partition, chosen)
                return "started"
            bits = slurm.free.bits_of(frozenset(chosen))
            if bits & self._made.taken(begin, begin + length):
                at = begin
                continue
            self._plan(begin, begin + length, bits)
            return "planned"
        return "no place"

    def _plan(self, begin: float, end: float, nodes: NodeBits) -> None:
        step = self.slurm.settings.bf_resolution  # the times of what is planned are multiples of it
        begin = max(begin // step * step, self.slurm.now)
        end = max(end // step * step, begin + step)
        self._made.add(_Planned(begin, end, nodes))
        insort(self._changes, begin)
        insort(self._changes, end)

    def _next_change(self, at: float, overlap: bool) -> float | None:
        """When other nodes than at `at` may be had."""
        n = bisect_right(self._changes, at)
        times = self._changes[n : n + 1]
        if overlap:
            times += [kept.end + 1 for kept in self.slurm.kept if kept.end > at]
        return min(times, default=None)

    def _soonest(self, run: JobRun, nodes: NodeBits) -> float | None:
        """When it could start on these nodes: now, or as running jobs end, by their limits."""
        free, ask, wanted = self.slurm.free, run.spec.ask, run.spec.nodes
        if nodes.bit_count() < wanted:
            return None
        room = free.room_from(ask, nodes, wanted)
        if room is None:
            return None
        return self.slurm.now if room == NOW else free.looked_at(nodes, room)

    def _choose(self, run: JobRun, nodes: NodeBits, when: float) -> list[str]:
        """Where it starts, of these nodes, at the soonest time."""
        slurm, spec = self.slurm, run.spec
        if when <= slurm.now:
            chosen = slurm.select(run, slurm.free.names_of(nodes))
        else:
            there = takewhile(lambda e: e[0] <= when, slurm.free.in_order(spec.ask, nodes))
            fitting = [
                (index, name, self._cpus_at(slurm.machines[name], when)) for _, index, name in there
            ]
            chosen = choose(fitting, spec.nodes, spec.nodes * spec.ask.cpus)
        assert chosen is not None  # noqa: S101  # there are enough: _soonest() has counted them
        return chosen

    def _cpus_at(self, machine: Machine, when: float) -> int:
        free = machine.cpus_free
        for run in machine.jobs.values():
            if run.limit_end <= when:
                free += run.spec.ask.cpus
        return free
