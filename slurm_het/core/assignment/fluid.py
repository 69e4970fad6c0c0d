"""The fluid program: how the expected tasks would best fill the room that is free, as plain data.

Nodes come in groups g of one make. Kinds i of tasks earn w_i, and at most D_i of each come: y_igc
on devices of class c. A pattern x says how many shares of each size s a device with r free holds;
what the nodes of a group have of CPUs and host memory is one sum, of which USABLE is counted.

    maximise   sum w y
    demand_i   sum of y_i                       <= D_i              price a_i
    cpus_g     sum of the tasks' CPUs           <= USABLE cpus_g    price l_g   host memory: m_g
    size_gcs   sum of the tasks' shares of s    <= sum of s in the patterns
    row_gcr    sum of the patterns, and of the
               devices of tasks on whole ones   <= count            price u_gcr

Patterns are found by pricing: the best one that fits r, a share of size s worth the most that
w_i - a_i - l_g cpus_i - m_g memory_i is, by device, for any kind i of that size, comes of one
knapsack over r for all rows of a group and class (Gilmore and Gomory). Kinds are apart from
patterns since many are of one size: sets of kinds would be so many that rounds of pricing never
end. Somebody else solves the program: solve/fluid.py.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import gcd
from typing import NamedTuple

from slurm_het.core.assignment.prices import Places, Prices, Table, Vector

Row = tuple[int, int]
"""Devices of a class with so many steps free; the last but one of a class is all of it, the last
is a whole device."""


class Kind(NamedTuple):
    """Tasks of one kind: what one asks of a node, earns (in devices), how many come, and where.

    `gib` is of each device, 0 the whole of it. `on` are classes of devices.
    """

    devices: int
    gib: int
    cpus: int
    memory_mib: int
    earns: float
    expected: float
    on: frozenset[int]


class DeviceSort(NamedTuple):
    """Devices of one class: memory, and the CPUs and host memory of the nodes that have them."""

    memory_gib: int
    cpus: int
    memory_mib: int
    per_node: int


class NodeGroup(NamedTuple):
    """Nodes of one make: what they have free together, and their devices by class and room.

    `rows` has (class, GiB free, whether it may be taken whole) and how many.
    """

    cpus: int
    memory_mib: int
    rows: tuple[tuple[int, int, bool, int], ...]


@dataclass(frozen=True)
class Fluid:
    """The program. `full` are the CPUs of nodes that have no device free.

    `beside` are the tasks without devices: how many CPUs they ask, MiB for each, and what each
    earns. `cpus` and `memory` are the prices at which the tables are made, `protected` is handed
    on.
    """

    kinds: tuple[Kind, ...]
    sorts: tuple[DeviceSort, ...]
    groups: tuple[NodeGroup, ...]
    full: int
    beside: tuple[float, float, float]
    cpus: Vector
    memory: Vector
    protected: tuple[Places, ...] = ()


class Knapsack(NamedTuple):
    """By steps that are free: what the best pattern earns, and the size of the share taken last
    (0, where a step is left over). `whole` is what a whole device earns, taken whole."""

    earns: list[float]
    taken: list[int]
    whole: float

    def pattern(self, steps: int) -> Counter[int]:
        """How many shares of each size, in steps, the best pattern for so many steps has."""
        found: Counter[int] = Counter()
        while steps > 0:
            size = self.taken[steps]
            found[size] += size > 0
            steps -= size or 1
        return +found


class Sacks:
    """The knapsacks of a program: what kinds may go on each class, in steps of its devices."""

    def __init__(self, fluid: Fluid) -> None:
        self.kinds = fluid.kinds
        self.steps: list[int] = []
        self.shares: list[list[tuple[int, int]]] = []  # by class: (steps, kind), smallest first
        self.wholes: list[list[int]] = []
        self.sizes: list[int] = []  # by class: steps of a device
        for c, sort in enumerate(fluid.sorts):
            able = [i for i, kind in enumerate(fluid.kinds) if _able(kind, c, sort)]
            shares = [i for i in able if fluid.kinds[i].gib]
            step = gcd(sort.memory_gib, *(fluid.kinds[i].gib for i in shares))
            self.steps.append(step)
            self.sizes.append(sort.memory_gib // step)
            self.shares.append(sorted((fluid.kinds[i].gib // step, i) for i in shares))
            self.wholes.append([i for i in able if not fluid.kinds[i].gib])

    def row(self, c: int, free_gib: int, whole: bool) -> int:
        """The steps of a class that so much is; one more for a device that may be taken whole."""
        return self.sizes[c] + 1 if whole else min(free_gib // self.steps[c], self.sizes[c])

    def solve(self, c: int, prices: Sequence[float], cpu: float, mib: float) -> Knapsack:
        """The knapsack of devices of a class at the kinds' prices, that of a CPU and of a MiB."""
        kinds = self.kinds

        def net(i: int) -> float:  # on each of its devices
            kind = kinds[i]
            earned = kind.earns - prices[i] - cpu * kind.cpus - mib * kind.memory_mib
            return earned / kind.devices

        items: dict[int, float] = {}
        for size, i in self.shares[c]:
            if (earned := net(i)) > items.get(size, 0.0):
                items[size] = earned
        earns, taken = _fill(self.sizes[c], items)
        return Knapsack(earns, taken, max(map(net, self.wholes[c]), default=0.0))


def _able(kind: Kind, c: int, sort: DeviceSort) -> bool:
    """Whether an empty node with such devices holds such a task."""
    return (
        c in kind.on
        and kind.devices <= sort.per_node
        and kind.gib <= sort.memory_gib
        and kind.cpus <= sort.cpus
        and kind.memory_mib <= sort.memory_mib
    )


def _fill(steps: int, items: Mapping[int, float]) -> tuple[list[float], list[int]]:
    """The unbounded knapsack over 0..steps of items by size, smallest first; of equal patterns the
    smaller one."""
    useful: list[tuple[int, float]] = []
    highest = 0.0
    for size, net in items.items():
        if net > highest:  # a larger one must earn more
            useful.append((size, net))
            highest = net
    earns, taken = [0.0] * (steps + 1), [0] * (steps + 1)
    reach = 0
    for r in range(1, steps + 1):
        top, which = earns[r - 1], 0
        while reach < len(useful) and useful[reach][0] <= r:
            reach += 1
        for size, net in useful[:reach]:
            if earns[r - size] + net > top + 1e-12:
                top, which = earns[r - size] + net, size
        earns[r], taken[r] = top, which
    return earns, taken


class Tables:
    """The tables of prices: the mean over several prices of the kinds."""

    def __init__(self, fluid: Fluid, sacks: Sacks) -> None:
        self.fluid, self.sacks = fluid, sacks
        pairs = len(fluid.cpus)
        self.sums = [[[0.0] * pairs for _ in range(size + 2)] for size in sacks.sizes]
        self.count = 0

    def add(self, prices: Sequence[float]) -> None:
        """Count in what devices are worth at these prices of the kinds."""
        self.count += 1
        pairs = list(zip(self.fluid.cpus, self.fluid.memory, strict=True))
        known: dict[object, list[list[float]]] = {}
        for c, sums in enumerate(self.sums):
            like = self.sacks.sizes[c], *self.sacks.shares[c], None, *self.sacks.wholes[c]
            if like not in known:
                known[like] = [self._column(c, prices, *pair) for pair in pairs]
            for p, column in enumerate(known[like]):
                for r, earned in enumerate(column):
                    sums[r][p] += earned

    def _column(self, c: int, prices: Sequence[float], cpu: float, mib: float) -> list[float]:
        sack = self.sacks.solve(c, prices, cpu, mib)
        return [*sack.earns, max(sack.whole, sack.earns[-1])]

    def prices(self) -> Prices:
        """The mean."""
        n = self.count or 1
        tables = tuple(
            Table(sort.memory_gib, step, tuple(tuple(x / n for x in row) for row in sums))
            for sort, step, sums in zip(self.fluid.sorts, self.sacks.steps, self.sums, strict=True)
        )
        return Prices(self.fluid.cpus, self.fluid.memory, tables, self.fluid.protected)
