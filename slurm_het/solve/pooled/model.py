"""The pooled formulation for some choices, as a python-mip model: counts, starts and rows."""

from __future__ import annotations

import gc
import math
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import mip
from mip.cbc import has_cbc
from mip.highs import has_highs

from slurm_het.solve.pooled.choices import Choices, Resource
from slurm_het.solve.pooled.expand import Choice

SolverName = Literal["highs", "cbc"]


def _end_one_model() -> None:
    """Let a model of each solver come and go, before there are any others.

    A model's end calls into its solver's library, and a first call has cffi parse a declaration
    under a lock. Where the collector ended the first model amid another such parsing, the process
    waited for itself for ever (python-mip 2.0.0, cffi 2.1.1).
    """
    for name, there in ((mip.CBC, has_cbc), (mip.HIGHS, has_highs)):
        if there:
            mip.Model(solver_name=name)
    gc.collect()


_end_one_model()


class Scope(NamedTuple):
    """What a model is about: the requests, how many tasks of each must start, and who may."""

    requests: tuple[int, ...]
    fixed: Counter[int]
    open: tuple[int, ...]


class Master:
    """The counts and rows for some choices, as a python-mip model."""

    def __init__(
        self, choices: Choices, scope: Scope, chosen: Sequence[Choice], solver: SolverName
    ) -> None:
        self.choices, self.problem = choices, choices.problem
        self.model = mip.Model(sense=mip.MAXIMIZE, solver_name=solver.upper())
        self.model.verbose = 0
        self.chosen = chosen
        self.taken = [self.choices.taken(choice) for choice in chosen]
        self.v = [self._count(taken.most) for taken in self.taken]
        self.y = {t: self.model.add_var(var_type=mip.BINARY) for t in scope.open}
        self.rows: dict[tuple[object, ...], Any] = {}
        self.bound = math.inf
        self._demand(scope)
        self._capacities()

    def _count(self, most: int) -> Any:
        return self.model.add_var(var_type=mip.INTEGER, lb=0, ub=most)

    def _row(self, key: tuple[object, ...], of: Sequence[Any], by: Sequence[float], sense: str,
             limit: float) -> None:  # fmt: skip
        # The constructor is several times faster than xsum and comparisons of expressions.
        self.rows[key] = self.model.add_constr(mip.LinExpr(list(of), list(by), -limit, sense))

    def _demand(self, scope: Scope) -> None:
        by_key: dict[tuple[int, int, int], list[Any]] = defaultdict(list)
        for choice, v in zip(self.chosen, self.v, strict=True):
            by_key[choice[:3]].append(v)
        open_tasks: dict[int, list[Any]] = defaultdict(list)
        for t in scope.open:
            mine = open_tasks[self.problem.tasks[t].request]
            if mine:  # of identical tasks the one of higher priority starts first
                self._row(("same", t), [self.y[t], mine[-1]], [1, -1], "<", 0)
            mine.append(self.y[t])
        inside_of: dict[tuple[int, int], Any] = {}
        for r in scope.requests:
            groups, slots = self.choices.groups[r], self.problem.requests[r].slots
            starts, must = open_tasks.get(r, []), scope.fixed[r]
            if len(groups) > 1:
                inside = [self.model.add_var(var_type=mip.INTEGER, lb=0) for _ in groups]
                row = [*inside, *starts]
                self._row(("in", r), row, [1] * len(inside) + [-1] * len(starts), "=", must)
                inside_of |= {(r, g): y for g, y in enumerate(inside)}
            for g in range(len(groups)):
                ys, count = ([inside[g]], 0) if len(groups) > 1 else (starts, must)
                for k, many in Counter(map(slots.index, slots)).items():
                    mine = by_key[r, g, k]
                    by = [1] * len(mine) + [-many] * len(ys)
                    self._row(("slot", r, g, k), [*mine, *ys], by, "=", many * count)

        for pair in self.choices.pairs:
            if mine := [key for key in pair.of if key in inside_of]:
                by = [len(self.problem.requests[r].slots) // 2 for r, _ in mine]
                self._row(("pairs", pair), [inside_of[key] for key in mine], by, "<", pair.most)

    def _capacities(self) -> None:
        loads: dict[Resource, tuple[list[Any], list[int]]] = {}
        largest: dict[Resource, int] = defaultdict(int)
        for v, (most, uses) in zip(self.v, self.taken, strict=True):
            for key, amount in uses:
                variables, amounts = loads.setdefault(key, ([], []))
                variables.append(v)
                amounts.append(amount)
                largest[key] += most * amount
        for key, (variables, amounts) in loads.items():
            if largest[key] > (limit := self.choices.limit(key)):
                self._row(key, variables, amounts, "<", limit)

    def maximise_weights(self) -> None:
        """Make sum w·x the objective."""
        self.model.objective = mip.LinExpr(self.v, [c.place.worth for c in self.chosen])

    def maximise_starts(self, tasks: Sequence[int]) -> None:
        """Make the starts of `tasks`, each worth more than all after it, the objective."""
        powers = [float(2 ** (len(tasks) - 1 - i)) for i in range(len(tasks))]
        self.model.objective = mip.LinExpr([self.y[t] for t in tasks], powers)

    def relax(self, until: float) -> float | None:
        """The optimum of the LP relaxation; None without one."""
        status = self.model.optimize(max_seconds=max(0.01, until - time.monotonic()), relax=True)
        return float(self.model.objective_value) if status == _OPTIMAL else None

    def solve(self, until: float, gap: float, gap_abs: float) -> str:
        """`optimal`, `feasible`, or nothing."""
        model = self.model
        model.max_mip_gap, model.max_mip_gap_abs = gap, gap_abs
        if model.solver_name == mip.CBC:
            model.cuts = model.preprocess = 0  # with them CBC overruns its time limit many times
        status = model.optimize(max_seconds=max(0.01, until - time.monotonic()))
        if status == _OPTIMAL:
            self.bound = float(model.objective_bound)
            return "optimal"
        return "feasible" if status == mip.OptimizationStatus.FEASIBLE else ""

    def counts(self) -> dict[Choice, float]:
        """The values of the counts that are not 0."""
        return {c: v.x for c, v in zip(self.chosen, self.v, strict=True) if v.x > 1e-6}

    def prices(self) -> dict[tuple[int, int, int], float]:
        """What a slot's start is worth, by request, group and slot; for `cost` too."""
        self._prices: dict[tuple[object, ...], float] = {k: r.pi for k, r in self.rows.items()}
        return {key[1:]: pi for key, pi in self._prices.items() if key[0] == "slot"}  # type: ignore[misc]

    def cost(self, choice: Choice) -> float:
        """What a choice's resources cost."""
        prices = self._prices
        uses = self.choices.taken(choice).uses
        return sum((amount * prices.get(key, 0.0) for key, amount in uses), 0.0)


_OPTIMAL = mip.OptimizationStatus.OPTIMAL
