"""What the room of a node is worth to the tasks to be expected, and what a placement costs them.

With v_p(r) the most that the future earns on a device with r free, when a CPU costs l_p and a MiB
of host memory m_p, a node is worth

    V = min over p of  l_p CPUs left + m_p MiB left + sum over its devices of v_p(free)

This is the Lagrangian bound of filling it: it prices CPUs and devices together, so that one without
the other is worth little. A placement costs V before - V after, and the places that it takes from
tasks for which these are running out (Littlewood's rule). The unit is a whole device.

fluid.py has the program that the tables come from.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import add, sub
from typing import NamedTuple

from slurm_het.core.assignment.memo import Memo

TIGHTEST = 0.03
"""Of equal devices a share takes the one that it leaves least of: cost of a whole one left."""
FULLER = 0.003 / 8
"""Of equal nodes a task takes the fuller one: cost of a free device on it."""

Vector = tuple[float, ...]
"""A number for each p."""

Cell = tuple[int, int]
"""A device as the tables have it: (table, row)."""


@dataclass(frozen=True)
class Table:
    """Devices of one class: v by steps of `step` GiB that are free; the last row is a whole one.

    `memory_gib` is of a device. `rows` has memory_gib // step + 2 of them.
    """

    memory_gib: int
    step: int
    rows: tuple[Vector, ...]

    @property
    def steps(self) -> int:
        """The row of a device of which all is free that may not be taken whole."""
        return len(self.rows) - 2

    def row(self, free_gib: int, whole: bool) -> int:
        """The row of a device of which so much is free."""
        return self.steps + 1 if whole else min(free_gib // self.step, self.steps)


Whole = tuple[tuple[int, int], ...]
"""Of each table that has some, how many whole devices."""


class Places(NamedTuple):
    """Places for tasks that need so many whole devices of these tables on one node, and CPUs."""

    devices: int
    cpus: int
    tables: frozenset[int]

    def held(self, cpus: int, whole: int) -> int:
        """How many places a node has with so many CPUs and whole devices left."""
        places = whole // self.devices
        return min(places, cpus // self.cpus) if self.cpus else places


class Load(NamedTuple):
    """What is to be placed on a node: devices, GiB of each (0: whole), CPUs and host memory."""

    devices: int
    gib: int
    cpus: int
    memory_mib: int


class Room(NamedTuple):
    """What is free on a node: CPUs, host memory, and (table, row) of each device, sorted."""

    cpus: int
    memory_mib: int
    devices: tuple[Cell, ...]


class Loss(NamedTuple):
    """What a placement takes: the fall of the node's value, and places by index of `protected`."""

    fall: float
    places: tuple[tuple[int, int], ...]


class Valued(NamedTuple):
    """What a room is worth: at each p, and the least of these, which is at p = `at`.

    It holds so many whole devices, and places of each protected kind. `fuller` is what its free
    devices add to a cost.
    """

    vector: Vector
    least: float
    at: int
    whole: Whole
    held: tuple[int, ...]
    fuller: float


class Taking(NamedTuple):
    """What a load takes of any node's value when it takes these devices: at each p.

    `tie` is what decides between equal nodes, beside the devices that stay free. `part` is how many
    devices it takes, shares as parts of one.
    """

    vector: Vector
    whole: Whole
    tie: float
    part: float


@dataclass(frozen=True)
class Prices:
    """Tables by class of devices, for the prices of a CPU (`cpus`) and of a MiB (`memory`).

    `protected` are the places that may run out.
    """

    cpus: Vector
    memory: Vector
    tables: tuple[Table, ...]
    protected: tuple[Places, ...] = ()

    @cached_property
    def has_memory(self) -> bool:
        """Whether host memory has a price."""
        return any(self.memory)

    @cached_property
    def _valued(self) -> Memo[Room, Valued]:
        return Memo()

    @cached_property
    def _takings(self) -> Memo[tuple[Load, tuple[Cell, ...]], Taking]:
        return Memo()

    @cached_property
    def _left(self) -> Memo[tuple[Whole, Whole], Whole]:
        return Memo()

    @cached_property
    def _held(self) -> Memo[tuple[int, Whole], tuple[int, ...]]:
        return Memo()

    @cached_property
    def _host(self) -> Memo[tuple[int, int], Vector]:
        return Memo()

    def host(self, cpus: int, memory_mib: int) -> Vector:
        """What so many CPUs and so much host memory cost."""
        key = cpus, memory_mib
        if key not in self._host:
            self._host[key] = tuple(
                c * cpus + m * memory_mib for c, m in zip(self.cpus, self.memory, strict=True)
            )
        return self._host[key]

    def vector(self, cpus: int, memory_mib: int, devices: Sequence[Cell]) -> Vector:
        """What a node is worth at each p; `devices` has (table, row) of each."""
        total: Sequence[float] = self.host(cpus, memory_mib)
        for table, row in devices:
            total = list(map(add, total, self.tables[table].rows[row]))
        return tuple(total)

    def value(self, cpus: int, memory_mib: int, devices: Sequence[Cell]) -> float:
        """What a node is worth to the tasks to be expected, in devices."""
        return min(self.vector(cpus, memory_mib, devices))

    def held(self, cpus: int, whole: Whole) -> tuple[int, ...]:
        """How many places a node has for each of the protected, were it for them alone."""
        key = cpus, whole
        found = self._held.get(key)
        if found is None:
            found = self._held[key] = tuple(
                one.held(cpus, sum([n for table, n in whole if table in one.tables]))
                for one in self.protected
            )
        return found

    def whole(self, cells: Iterable[Cell]) -> Whole:
        """How many devices of each table may be taken whole."""
        return tuple(sorted(Counter(t for t, row in cells if self.is_whole(t, row)).items()))

    def is_whole(self, table: int, row: int) -> bool:
        """Whether a row of a table is that of devices that may be taken whole."""
        return row > self.tables[table].steps

    def valued(self, room: Room) -> Valued:
        """What a room is worth; remembered, since it is the same in plan after plan."""
        found = self._valued.get(room)
        if found is None:
            vector, whole = self.vector(*room), self.whole(room.devices)
            fuller = FULLER * sum(min(1.0, row / self.tables[t].steps) for t, row in room.devices)
            held = self.held(room.cpus, whole)
            least = min(vector)
            at = vector.index(least)
            found = self._valued[room] = Valued(vector, least, at, whole, held, fuller)
        return found

    def taking(self, asked: Load, taken: tuple[Cell, ...]) -> Taking:
        """What a load takes on these devices, whatever else is on the node."""
        key = asked, taken
        found = self._takings.get(key)
        if found is None:
            found = self._takings[key] = self._taking(asked, taken)
        return found

    def _taking(self, asked: Load, taken: tuple[Cell, ...]) -> Taking:
        total: Sequence[float] = self.host(asked.cpus, asked.memory_mib)
        tie, part = 0.0, 0.0
        for table, row in taken:
            here = self.tables[table]
            left = max(0, min(row, here.steps) - -(-asked.gib // here.step)) if asked.gib else 0
            total = list(map(add, total, map(sub, here.rows[row], here.rows[left])))
            tie += FULLER * (left / here.steps - min(1.0, row / here.steps))
            tie += TIGHTEST * left / here.steps if len(taken) == 1 else 0.0
            part += asked.gib / here.memory_gib if asked.gib else 1.0
        return Taking(tuple(total), self.whole(taken), tie, part)

    def loss(self, asked: Load, room: Room, taken: tuple[Cell, ...]) -> Loss:
        """What it takes to put a task, which fits, on these devices (table, row) of a node."""
        before, takes = self.valued(room), self.taking(asked, taken)
        fall = before.least - min(map(sub, before.vector, takes.vector))
        return Loss(fall + before.fuller + takes.tie, self._lost(asked, room.cpus, before, takes))

    def _lost(
        self, asked: Load, cpus: int, before: Valued, takes: Taking
    ) -> tuple[tuple[int, int], ...]:
        """The places that are lost, by index of `protected`."""
        if not (self.protected and before.whole):
            return ()
        then = self.held(cpus - asked.cpus, self._whole_left(before.whole, takes.whole))
        if then == before.held:
            return ()
        held = zip(before.held, then, strict=True)
        return tuple((k, b - a) for k, (b, a) in enumerate(held) if b != a)

    def _whole_left(self, before: Whole, taken: Whole) -> Whole:
        """The whole devices that are left of those before."""
        if not taken:
            return before
        key = before, taken
        found = self._left.get(key)
        if found is None:
            left = Counter(dict(before)) - Counter(dict(taken))
            found = self._left[key] = tuple(sorted(left.items()))
        return found


class NodePrices(NamedTuple):
    """The prices at this moment: those of the tables, and `scarce`: what a protected place costs,
    of which so many are `left`.

    `tables` is the index of the table by state of devices; `counts` is how much a device counts in
    weights.
    """

    prices: Prices
    tables: dict[int, int]
    scarce: Vector
    counts: float
    left: tuple[int, ...] = ()

    def cost(self, asked: Load, room: Room, taken: tuple[Cell, ...]) -> float:
        """What it costs, in devices, to put a task on these devices of a node: see Prices.loss."""
        fall, places = self.prices.loss(asked, room, taken)
        for k, lost in places:
            fall += self.scarce[k] * lost
        return fall

    def weight(self, asked: Load, room: Room, taken: tuple[Cell, ...]) -> float:
        """The same as a weight: minus what is lost for each device that the task takes, squeezed.

        0: nobody wants it. -1: just what the task takes is lost; at most -2.
        """
        part = self.prices.taking(asked, taken).part
        return self._squeezed(self.cost(asked, room, taken), part)

    def most(self, asked: Load, taken: tuple[Cell, ...], at: int) -> float:
        """What no `weight` of a room whose least value is at p = `at` is above.

        V after is at most what it is at this p, so V falls by no less than what is taken there; a
        place is never gained.
        """
        takes = self.prices.taking(asked, taken)
        return self._squeezed(takes.vector[at], takes.part)

    def _squeezed(self, cost: float, part: float) -> float:
        lost = cost / (part or 1.0)
        return -2.0 * self.counts * lost / (1.0 + lost)


def at_least(mean: float, count: int) -> float:
    """The probability that a Poisson variable of this mean is at least `count`."""
    if count <= 0:
        return 1.0
    if mean <= 0:
        return 0.0
    if mean > 400:
        return 0.5 * math.erfc((count - 0.5 - mean) / math.sqrt(2.0 * mean))
    term = below = math.exp(-mean)
    for i in range(1, count):
        term *= mean / i
        below += term
        if i > 4 * mean + 60:
            break
    return max(0.0, 1.0 - below)
