"""When nodes have room for what jobs ask, by the limits of those that run: kept from pass to pass.

A pass of the backfill scheduler asks that for hundreds of jobs, and between two passes few nodes
have changed. It asks for sets of nodes, hundreds of times: these are numbers here, a bit a node.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import accumulate
from operator import or_

from slurm_het.simulation.jobs import JobRun, NodeAsk
from slurm_het.simulation.world import Machine

NOW = float("-inf")
"""Of a node that has room now."""
HALF_MINUTE = 30.0
NodeBits = int
"""A set of nodes: the bit of each is that of its index."""
MOST_SETS = 10_000
"""So many sets are known as numbers."""
Entry = tuple[float, int, str]
"""When, and the node's index and name."""


@dataclass
class _Line:
    """Of one ask: the nodes that `ever` have room for it in order of time; `stale` are those that
    have changed since. `upto` has of each place in that order the nodes as far as there."""

    ever: frozenset[str]
    stale: set[str]
    order: list[Entry] = field(default_factory=list)
    entries: dict[str, Entry] = field(default_factory=dict)
    able: set[str] = field(default_factory=set)
    able_bits: NodeBits = 0
    upto: list[NodeBits] = field(default_factory=list)


class FreeTimes:
    """Of all nodes of a Slurm, which tells of each job that starts or has ended."""

    def __init__(self, machines: Mapping[str, Machine]) -> None:
        self.machines = machines
        self._ends: list[tuple[float, int]] = []
        self._ends_upto: list[NodeBits] = []
        """Of each end the nodes of all ends as far as there; empty: to be made anew."""
        self._lines: dict[NodeAsk, _Line] = {}
        self._bits: dict[frozenset[str], NodeBits] = {}

    def bits_of(self, names: frozenset[str]) -> NodeBits:
        """These nodes as a number."""
        found = self._bits.get(names)
        if found is None:
            found = sum(1 << self.machines[name].index for name in names)
            if len(self._bits) >= MOST_SETS:
                self._bits.clear()
            self._bits[names] = found
        return found

    def names_of(self, nodes: NodeBits) -> list[str]:
        """The names of these nodes."""
        return [name for name, there in self.machines.items() if nodes >> there.index & 1]

    def began(self, run: JobRun) -> None:
        """A job has its nodes."""
        for name in run.where:
            insort(self._ends, (run.limit_end, self.machines[name].index))
        self._changed(run)

    def ended(self, run: JobRun) -> None:
        """It has them no more."""
        for name in run.where:
            end = run.limit_end, self.machines[name].index
            del self._ends[bisect_left(self._ends, end)]
        self._changed(run)

    def _changed(self, run: JobRun) -> None:
        self._ends_upto = []
        for line in self._lines.values():
            line.stale.update(line.ever.intersection(run.where))

    def ever(self, ask: NodeAsk) -> frozenset[str]:
        """The nodes that have room for it once they are empty."""
        return self._line(ask).ever

    def able(self, ask: NodeAsk) -> set[str]:
        """The nodes that have room for it now, down or not."""
        return self._line(ask).able

    def fit_now(self, ask: NodeAsk, nodes: NodeBits, many: int) -> bool:
        """Whether so many of these nodes have room for it now."""
        return (self._line(ask).able_bits & nodes).bit_count() >= many

    def in_order(self, ask: NodeAsk, nodes: NodeBits) -> Iterator[Entry]:
        """When these nodes have room for it, if nothing else starts there: the soonest first."""
        return (entry for entry in self._line(ask).order if nodes >> entry[1] & 1)

    def room_from(self, ask: NodeAsk, nodes: NodeBits, many: int) -> float | None:
        """When so many of these nodes have room for it: NOW, or as jobs end; None: never."""
        if self.fit_now(ask, nodes, many):
            return NOW
        line = self._line(ask)
        place = bisect_left(line.upto, many, key=lambda upto: (upto & nodes).bit_count())
        return line.order[place][0] if place < len(line.order) else None

    def looked_at(self, nodes: NodeBits, wanted: float) -> float:
        """When Slurm tries a job that could start at the time that is wanted, when a job ends.

        It takes the ends that come close together at once, and looks less finely the further
        ahead: at the last of those in a stretch of time, and these are bounded by 30 s, 60 s, 120 s
        and so on after the first one's half minute.
        """
        if not self._ends_upto:
            self._ends_upto = list(accumulate((1 << index for _, index in self._ends), or_))
        place = bisect_left(self._ends_upto, 1, key=lambda upto: int(bool(upto & nodes)))
        first = self._ends[place][0] if place < len(self._ends) else wanted
        begin, window = first + (HALF_MINUTE - first % HALF_MINUTE), HALF_MINUTE
        while wanted > begin + window:
            window *= 2
        for n in range(bisect_right(self._ends, (begin + window, len(self.machines))) - 1, -1, -1):
            end, index = self._ends[n]
            if nodes >> index & 1:
                return max(end, wanted)
        return wanted

    def _line(self, ask: NodeAsk) -> _Line:
        line = self._lines.get(ask)
        if line is None:
            ever = frozenset(n for n, there in self.machines.items() if there.could_ever(ask))
            line = self._lines[ask] = _Line(ever, set(ever))
        if not line.stale:
            return line
        for name in line.stale:
            machine = self.machines[name]
            if old := line.entries.pop(name, None):
                del line.order[bisect_left(line.order, old)]
            line.able.discard(name)
            line.able_bits &= ~(1 << machine.index)
            when = _free_at(machine, ask)
            if when is None:
                continue
            entry = line.entries[name] = when, machine.index, name
            insort(line.order, entry)
            if when == NOW:
                line.able.add(name)
                line.able_bits |= 1 << machine.index
        line.stale.clear()
        line.upto = list(accumulate((1 << index for _, index, _ in line.order), or_))
        return line


def _free_at(machine: Machine, ask: NodeAsk) -> float | None:
    """When the node has room for that, if nothing else starts there; None: never."""
    if machine.pick(ask) is not None:
        return NOW
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
