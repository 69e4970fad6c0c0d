"""Solves the fluid program by column generation, and averages its prices.

The exact prices are a corner of the program and jump; the mean over rounds, each with another
future, is what places well.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from slurm_het.core.assignment.fluid import Fluid, Sacks, Tables
from slurm_het.core.assignment.futures import futures
from slurm_het.core.assignment.prices import Prices
from slurm_het.solve.mip_model import MipModel, Row, SolverName, for_relaxing

WARM_UP, AVERAGED = 8, 40
"""Rounds of column generation: before the first counts, and those that count."""
USABLE = 0.87
"""Of the CPUs and the host memory that a group's nodes have free together, so much is counted: a
little is left over on each node. With all of it, clusters short of CPUs are filled a point less."""
SEED = 5
"""Of the futures drawn: the same state has the same prices."""
GAIN = 0.0005
"""A pattern must be better by so much (of what the best device earns) to enter."""


def solve_fluid(fluid: Fluid, seconds: float, solver: SolverName = "highs") -> Prices | None:
    """The prices of the program; None if there are none within `seconds`.

    With less time they are the mean of fewer rounds. Where nothing is free there is nothing to
    price.
    """
    until = time.monotonic() + seconds
    program = _Program(fluid, for_relaxing(solver))
    tables = Tables(fluid, program.sacks)
    expected = [kind.expected for kind in fluid.kinds]
    rounds = [expected] * WARM_UP + futures(expected, AVERAGED, SEED)
    for turn, demand in enumerate(rounds):
        program.add_patterns()
        program.expect(demand)
        left = until - time.monotonic()
        if left <= 0 or not program.columns or not program.relax(left):
            break
        if turn >= WARM_UP:
            tables.add(program.kind_prices)
    return tables.prices() if tables.count else None


class _Program:
    """The program with the patterns so far, and its prices."""

    def __init__(self, fluid: Fluid, solver: SolverName) -> None:
        self.fluid, self.sacks = fluid, Sacks(fluid)
        self.model = MipModel(solver)
        self.demand = [self._row(kind.expected) for kind in fluid.kinds]
        self.cpus = [self._row(USABLE * group.cpus) for group in fluid.groups]
        self.memory = [self._row(USABLE * group.memory_mib) for group in fluid.groups]
        self.rows: dict[tuple[int, int, int], Row] = {}
        self.size_rows: dict[tuple[int, int, int], Row] = {}
        self.columns = 0
        self._devices()
        self._tasks()
        self._beside()
        self.kind_prices = [0.0] * len(fluid.kinds)
        self.cpu_prices = [0.0] * len(fluid.groups)
        self.mib_prices = [0.0] * len(fluid.groups)
        self.row_prices: dict[tuple[int, int, int], float] = {}
        self.seen: set[tuple[object, ...]] = set()
        best = max((kind.earns / kind.devices for kind in fluid.kinds), default=0.0)
        self.least_gain = GAIN * best

    def _row(self, limit: float) -> Row:
        return self.model.row((), (), "<", float(limit))

    def _devices(self) -> None:
        """A row for the devices of each group and room."""
        for g, group in enumerate(self.fluid.groups):
            counts: Counter[tuple[int, int, int]] = Counter()
            for c, free_gib, whole, count in group.rows:
                counts[g, c, self.sacks.row(c, free_gib, whole)] += count
            for key, count in counts.items():
                self.rows[key] = self._row(count)

    def _tasks(self) -> None:
        """A column for the tasks of each kind on each group and class that has room for one."""
        most = {(g, c): r for g, c, r in sorted(self.rows)}
        for (g, c), r in most.items():
            for size, i in self.sacks.shares[c]:
                if size <= r:
                    key = g, c, size
                    if key not in self.size_rows:
                        self.size_rows[key] = self._row(0.0)
                    self._task(g, i, self.size_rows[key])
            for i in self.sacks.wholes[c] if r > self.sacks.sizes[c] else ():
                self._task(g, i, self.rows[g, c, r])

    def _task(self, g: int, i: int, row: Row) -> None:
        kind = self.fluid.kinds[i]
        rows = [self.demand[i], self.cpus[g], self.memory[g], row]
        self._enter(kind.earns, rows, [1.0, kind.cpus, kind.memory_mib, kind.devices])

    def _enter(
        self, gain: float, rows: Sequence[Row], factors: Sequence[float], upper: float = math.inf
    ) -> None:
        self.columns += 1
        self.model.column(gain, rows, [float(factor) for factor in factors], upper)

    def _beside(self) -> None:
        """The CPUs that tasks without devices take, of any node."""
        cpus, mib_per_cpu, earns = self.fluid.beside
        if not cpus:
            return
        demand = self._row(cpus)
        for g in range(len(self.fluid.groups)):
            rows = [demand, self.cpus[g], self.memory[g]]
            self._enter(earns, rows, [1.0, 1.0, mib_per_cpu])
        self._enter(earns, [demand], [1.0], float(self.fluid.full))

    def add_patterns(self) -> None:
        """Add the patterns of shares that are worth it at the prices of the last solution."""
        by_class: dict[tuple[int, int], list[int]] = {}
        for g, c, r in self.rows:
            by_class.setdefault((g, c), []).append(r)
        for (g, c), rows in by_class.items():
            sack = self.sacks.solve(c, self.kind_prices, self.cpu_prices[g], self.mib_prices[g])
            for r in rows:
                steps = min(r, self.sacks.sizes[c])
                if sack.earns[steps] > self.row_prices.get((g, c, r), 0.0) + self.least_gain:
                    self._pattern(g, c, r, sack.pattern(steps))

    def _pattern(self, g: int, c: int, r: int, shares: Mapping[int, int]) -> None:
        key = g, c, r, *sorted(shares.items())
        if key not in self.seen:
            self.seen.add(key)
            rows = [self.rows[g, c, r], *(self.size_rows[g, c, size] for size in shares)]
            self._enter(0.0, rows, [1, *(-number for number in shares.values())])

    def expect(self, demand: Iterable[float]) -> None:
        """Let so many tasks of each kind come."""
        for row, number in zip(self.demand, demand, strict=True):
            self.model.limit(row, number)

    def relax(self, seconds: float) -> bool:
        """Solve the program, and read its prices; whether they are there in time."""
        if self.model.relax(seconds) is None:
            return False
        self.kind_prices = self._prices(self.demand)
        self.cpu_prices = self._prices(self.cpus)
        self.mib_prices = self._prices(self.memory)
        self.row_prices = dict(zip(self.rows, self._prices(self.rows.values()), strict=True))
        return True

    def _prices(self, rows: Iterable[Row]) -> list[float]:
        prices = self.model.prices(dict(enumerate(rows)))
        return [max(0.0, price) for price in prices.values()]
