"""The pooled formulation for some choices, as a MIP: counts, starts and rows."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from slurm_het.solve.mip_model import MipModel, Row, Sense, Solved, SolverName, Variable
from slurm_het.solve.pooled.choices import Choices, Resource
from slurm_het.solve.pooled.expand import Choice


class Scope(NamedTuple):
    """What a model is about: the requests, how many tasks of each must start, and who may."""

    requests: tuple[int, ...]
    fixed: Counter[int]
    open: tuple[int, ...]


class Master:
    """The counts and rows for some choices, as a MIP."""

    def __init__(
        self, choices: Choices, scope: Scope, chosen: Sequence[Choice], solver: SolverName
    ) -> None:
        self.choices, self.problem = choices, choices.problem
        self.model = MipModel(solver)
        self.chosen = chosen
        self.taken = [self.choices.taken(choice) for choice in chosen]
        self.v = [self.model.variable(upper=taken.most) for taken in self.taken]
        self.y = {t: self.model.variable(upper=1) for t in scope.open}
        self.rows: dict[tuple[object, ...], Row] = {}
        self._demand(scope)
        self._capacities()

    def _row(self, key: tuple[object, ...], of: Sequence[Variable], by: Sequence[float],
             sense: Sense, limit: float) -> None:  # fmt: skip
        self.rows[key] = self.model.row(of, by, sense, limit)

    def _demand(self, scope: Scope) -> None:
        by_key: dict[tuple[int, int, int], list[Variable]] = defaultdict(list)
        for choice, v in zip(self.chosen, self.v, strict=True):
            by_key[choice[:3]].append(v)
        open_tasks: dict[int, list[Variable]] = defaultdict(list)
        for t in scope.open:
            mine = open_tasks[self.problem.tasks[t].request]
            if mine:  # of identical tasks the one of higher priority starts first
                self._row(("same", t), [self.y[t], mine[-1]], [1, -1], "<", 0)
            mine.append(self.y[t])
        inside_of: dict[tuple[int, int], Variable] = {}
        for r in scope.requests:
            groups, slots = self.choices.groups[r], self.problem.requests[r].slots
            starts, must = open_tasks.get(r, []), scope.fixed[r]
            if len(groups) > 1:
                inside = [self.model.variable() for _ in groups]
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
        loads: dict[Resource, tuple[list[Variable], list[int]]] = {}
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
        self.model.maximise(self.v, [c.place.worth for c in self.chosen])

    def maximise_starts(self, tasks: Sequence[int]) -> None:
        """Make the starts of `tasks`, each worth more than all after it, the objective."""
        self.model.maximise_in_order([self.y[t] for t in tasks])

    def relax(self, until: float) -> float | None:
        """The optimum of the LP relaxation; None without one."""
        return self.model.relax(until - time.monotonic())

    def solve(self, until: float, gap: float, gap_abs: float) -> Solved:
        """The optimum with whole counts, or how near the solver came to it."""
        return self.model.solve(until - time.monotonic(), gap, gap_abs)

    def started(self) -> set[int]:
        """The tasks in question that start."""
        return set(self.model.chosen(self.y))

    def counts(self) -> dict[Choice, float]:
        """The values of the counts that are not 0."""
        values = zip(self.chosen, self.model.values(self.v), strict=True)
        return {choice: value for choice, value in values if value > 1e-6}

    def prices(self) -> dict[tuple[int, int, int], float]:
        """What a slot's start is worth, by request, group and slot; for `cost` too."""
        self._prices = self.model.prices(self.rows)
        return {key[1:]: pi for key, pi in self._prices.items() if key[0] == "slot"}  # type: ignore[misc]

    def cost(self, choice: Choice) -> float:
        """What a choice's resources cost."""
        prices = self._prices
        uses = self.choices.taken(choice).uses
        return sum((amount * prices.get(key, 0.0) for key, amount in uses), 0.0)
