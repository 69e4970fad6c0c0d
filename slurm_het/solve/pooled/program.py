"""The program of the pooled formulation for some choices: its variables, rows and prices."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from slurm_het.solve.mip_model import MipModel, Row, Sense, Solved, SolverName, Variable
from slurm_het.solve.pooled.choices import Choice, Choices, Resource


class Scope(NamedTuple):
    """Which tasks a program is about.

    `requests` are those that they make, `must` are the tasks that must start, `fixed` is how many
    of each request these are, `open` are the tasks that may start.
    """

    requests: tuple[int, ...]
    must: tuple[int, ...]
    fixed: Counter[int]
    open: tuple[int, ...]


class PooledProgram:
    """The MIP with a variable z for each of the `chosen` choices, and y for each open task."""

    def __init__(
        self, choices: Choices, scope: Scope, chosen: Sequence[Choice], solver: SolverName
    ) -> None:
        self.choices, self.problem = choices, choices.problem
        self.model = MipModel(solver)
        self.chosen = chosen
        self.footprints = [choices.footprint(choice) for choice in chosen]
        self.z = [self.model.variable(upper=footprint.most) for footprint in self.footprints]
        self.y = {t: self.model.variable(upper=1) for t in scope.open}
        self.rows: dict[tuple[object, ...], Row] = {}
        self._starts(scope)
        self._capacities()
        self._budgets(scope)

    def _row(self, key: tuple[object, ...], of: Sequence[Variable], by: Sequence[float],
             sense: Sense, limit: float) -> None:  # fmt: skip
        self.rows[key] = self.model.row(of, by, sense, limit)

    def _starts(self, scope: Scope) -> None:
        """As many slots are put somewhere as the tasks have that start; groups are kept."""
        starts_of = self._open_starts(scope)
        slots_at: dict[tuple[int, int, int], list[Variable]] = defaultdict(list)
        for choice, z in zip(self.chosen, self.z, strict=True):
            slots_at[choice[:3]].append(z)
        self.in_group: dict[tuple[int, int], Variable] = {}
        for r in scope.requests:
            groups, slots = self.choices.groups[r], self.problem.requests[r].slots
            starts, must = starts_of[r], scope.fixed[r]
            grouped = len(groups) > 1 or any(self.problem.requests[r].worths)
            if grouped:
                inside = [self.model.variable() for _ in groups]
                row = [*inside, *starts]
                self._row(("in", r), row, [1] * len(inside) + [-1] * len(starts), "=", must)
                self.in_group |= {(r, g): y for g, y in enumerate(inside)}
            for g in range(len(groups)):
                ys, count = ([inside[g]], 0) if grouped else (starts, must)
                for k, many in Counter(map(slots.index, slots)).items():
                    mine = slots_at[r, g, k]
                    by = [1] * len(mine) + [-many] * len(ys)
                    self._row(("slot", r, g, k), [*mine, *ys], by, "=", many * count)
        self._pairs()

    def _open_starts(self, scope: Scope) -> dict[int, list[Variable]]:
        """The starts of the open tasks by request, in order."""
        starts: dict[int, list[Variable]] = defaultdict(list)
        latest: dict[tuple[object, ...], Variable] = {}
        for t in scope.open:
            kind = self.problem.kind(t)
            if kind in latest:  # of identical tasks the one of higher priority starts first
                self._row(("same", t), [self.y[t], latest[kind]], [1, -1], "<", 0)
            latest[kind] = self.y[t]
            starts[self.problem.tasks[t].request].append(self.y[t])
        return starts

    def _pairs(self) -> None:
        for pairs in self.choices.pairs:
            if mine := [key for key in pairs.of if key in self.in_group]:
                by = [len(self.problem.requests[r].slots) // 2 for r, _ in mine]
                self._row(
                    ("pairs", pairs), [self.in_group[key] for key in mine], by, "<", pairs.most
                )

    def _capacities(self) -> None:
        """No resource is taken beyond its limit; rows that cannot be exceeded are left out."""
        loads: dict[Resource, tuple[list[Variable], list[int]]] = {}
        largest: dict[Resource, int] = defaultdict(int)
        for z, (most, takes) in zip(self.z, self.footprints, strict=True):
            for resource, amount in takes:
                variables, amounts = loads.setdefault(resource, ([], []))
                variables.append(z)
                amounts.append(amount)
                largest[resource] += most * amount
        for resource, (variables, amounts) in loads.items():
            if largest[resource] > (limit := self.choices.limit(resource)):
                self._row(resource, variables, amounts, "<", limit)

    def _budgets(self, scope: Scope) -> None:
        """Nobody takes more of a budget than is left; rows that cannot be exceeded are left out."""
        tasks, spent = self.problem.tasks, self.problem.spent(scope.must)
        for b in self.problem.overspent((*scope.must, *scope.open)):
            uses = {t: use for t in scope.open if (use := dict(tasks[t].uses).get(b))}
            left = self.problem.budgets[b].left - spent[b]
            self._row(("budget", b), [self.y[t] for t in uses], list(uses.values()), "<", left)

    def maximise_weights(self) -> None:
        """Make sum w_c z_c + sum v_rg y_rg the objective."""
        worths = {
            (r, g): worth
            for r, g in self.in_group
            if (of := self.problem.requests[r].worths) and (worth := of[g])
        }
        variables = [*self.z, *(self.in_group[key] for key in worths)]
        self.model.maximise(variables, [*(c.place.worth for c in self.chosen), *worths.values()])

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
        """The open tasks that start."""
        return set(self.model.chosen(self.y))

    def counts(self) -> dict[Choice, float]:
        """How many slots go to each choice, where it is not 0."""
        values = zip(self.chosen, self.model.values(self.z), strict=True)
        return {choice: value for choice, value in values if value > 1e-6}

    def prices(self) -> dict[tuple[int, int, int], float]:
        """What a slot's start is worth after `relax`, by request, group and slot.

        Those of the resources are kept for `cost`.
        """
        self._prices = self.model.prices(self.rows)
        return {key[1:]: pi for key, pi in self._prices.items() if key[0] == "slot"}  # type: ignore[misc]

    def cost(self, choice: Choice) -> float:
        """What the resources that a choice takes cost, at the last `prices`."""
        prices = self._prices
        takes = self.choices.footprint(choice).takes
        return sum((amount * prices.get(resource, 0.0) for resource, amount in takes), 0.0)
