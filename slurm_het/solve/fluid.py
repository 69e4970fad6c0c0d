"""Solves the fluid program by column generation, and averages its prices.

The exact prices are a corner of the program and jump; the mean over rounds, each with the demand
drawn anew, is what places well.
"""

from __future__ import annotations

import math
import random
import time

from slurm_het.core.assignment.fluid import Fluid, Sacks, Tables
from slurm_het.core.assignment.prices import Prices
from slurm_het.solve.mip_model import MipModel, Row, SolverName, for_relaxing

WARM_UP, AVERAGED = 8, 16
"""Rounds of column generation: before the first counts, and those that count."""
SPREAD = 0.1
"""Dispersion (of a Gamma distribution) of how many tasks of a kind come."""
GAIN = 0.0005
"""A column must be better by so much (of what the best device earns) to enter."""
LARGE = 50.0


def solve_fluid(
    fluid: Fluid, seconds: float, solver: SolverName = "highs", seed: int = 5
) -> Prices | None:
    """The prices of the program; None if there are none within `seconds`.

    With less time they are the mean of fewer rounds. Where nothing is free there is nothing to
    price.
    """
    until = time.monotonic() + seconds
    program = _Program(fluid, for_relaxing(solver))
    tables = Tables(fluid, program.sacks)
    rng = random.Random(seed)  # noqa: S311  # no secret
    for turn in range(WARM_UP + AVERAGED):
        program.add_columns()
        program.draw(rng)
        left = until - time.monotonic()
        if left <= 0 or not program.columns or not program.relax(left):
            break
        if turn >= WARM_UP:
            tables.add(program.kind_prices)
    return tables.prices() if tables.count else None


class _Program:
    """The program with the columns so far, and its prices."""

    def __init__(self, fluid: Fluid, solver: SolverName) -> None:
        self.fluid, self.sacks = fluid, Sacks(fluid)
        self.model = MipModel(solver)
        self.demand = {i: self._row(kind.expected) for i, kind in enumerate(fluid.kinds)}
        self.cpus = [self._row(group.cpus) for group in fluid.groups]
        self.memory = [self._row(group.memory_mib) for group in fluid.groups]
        self.rows: dict[tuple[int, int, int], Row] = {}
        self.columns = 0
        self._devices()
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
        """A row for the devices of each group and room; a column for each kind on whole ones."""
        for g, group in enumerate(self.fluid.groups):
            counts: dict[tuple[int, int, int], int] = {}
            for c, free_gib, whole, count in group.rows:
                key = g, c, self.sacks.row(c, free_gib, whole)
                counts[key] = counts.get(key, 0) + count
            for key, count in counts.items():
                self.rows[key] = self._row(count)
                c, r = key[1:]
                for i in self.sacks.wholes[c] if r > self.sacks.sizes[c] else ():
                    kind = self.fluid.kinds[i]
                    self._column(kind.earns, g, {i: 1}, self.rows[key], kind.devices)

    def _column(self, gain: float, g: int, uses: dict[int, int], row: Row, devices: int) -> None:
        kinds = self.fluid.kinds
        rows, factors = [self.demand[i] for i in uses], [float(n) for n in uses.values()]
        cpus = sum(kinds[i].cpus * n for i, n in uses.items())
        memory = sum(kinds[i].memory_mib * n for i, n in uses.items())
        rows += [self.cpus[g], self.memory[g], row]
        factors += [float(cpus), float(memory), float(devices)]
        self._enter(gain, rows, factors)

    def _enter(
        self, gain: float, rows: list[Row], factors: list[float], upper: float = math.inf
    ) -> None:
        self.columns += 1
        self.model.column(gain, rows, factors, upper)

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

    def add_columns(self) -> None:
        """Add the sets of shares that are worth it at the prices of the last solution."""
        by_class: dict[tuple[int, int], list[int]] = {}
        for g, c, r in self.rows:
            by_class.setdefault((g, c), []).append(r)
        for (g, c), rows in by_class.items():
            sack = self.sacks.solve(c, self.kind_prices, self.cpu_prices[g], self.mib_prices[g])
            size = self.sacks.sizes[c]
            for r in rows:
                steps = min(r, size)
                price = self.row_prices.get((g, c, r))
                if sack.earns[steps] <= 0 or (r > size and sack.whole > sack.earns[steps]):
                    continue
                if price is not None and sack.earns[steps] <= price + self.least_gain:
                    continue
                uses = self.sacks.content(c, sack, steps)
                key = g, c, r, *sorted(uses.items())
                if key not in self.seen:
                    self.seen.add(key)
                    gain = sum(self.fluid.kinds[i].earns * n for i, n in uses.items())
                    self._column(gain, g, uses, self.rows[g, c, r], 1)

    def draw(self, rng: random.Random) -> None:
        """Another future: how many tasks of each kind come."""
        for i, row in self.demand.items():
            mean = self.fluid.kinds[i].expected * rng.gammavariate(1 / SPREAD, SPREAD)
            self.model.limit(row, _poisson(rng, mean))

    def relax(self, seconds: float) -> bool:
        """Solve the program, and read its prices; whether they are there in time."""
        if self.model.relax(seconds) is None:
            return False
        for i, price in self.model.prices(self.demand).items():
            self.kind_prices[i] = max(0.0, price)
        groups = range(len(self.fluid.groups))
        cpus = self.model.prices({g: self.cpus[g] for g in groups})
        memory = self.model.prices({g: self.memory[g] for g in groups})
        self.cpu_prices = [max(0.0, cpus[g]) for g in groups]
        self.mib_prices = [max(0.0, memory[g]) for g in groups]
        self.row_prices = {k: max(0.0, p) for k, p in self.model.prices(self.rows).items()}
        return True


def _poisson(rng: random.Random, mean: float) -> float:
    """A Poisson variable; of a large mean the normal one that is like it."""
    if mean > LARGE:
        return max(0.0, round(rng.gauss(mean, math.sqrt(mean))))
    count, left = 0, rng.random()
    while left > math.exp(-mean):
        left *= rng.random()
        count += 1
    return float(count)
