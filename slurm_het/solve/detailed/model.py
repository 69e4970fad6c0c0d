"""The reference formulation as a MIP: a variable per requested device and device."""

from __future__ import annotations

import math
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import mip

from slurm_het.core.assignment.first_fit import Starts
from slurm_het.core.assignment.problem import Problem, SlotChoice
from slurm_het.solve.detailed.candidates import Candidates, Names, candidates, numbered
from slurm_het.solve.pooled.model import (
    SolverName as SolverName,  # part of this module's interface
)
from slurm_het.solve.search import Answer, OutOfTimeError


class DetailedModel:
    """One model: `tasks` may start, those in `fixed` must; all the others do not start."""

    def __init__(
        self,
        problem: Problem,
        found: Mapping[int, Candidates],
        tasks: Sequence[int],
        fixed: Iterable[int] = (),
        *,
        deadline: float = math.inf,
        solver: SolverName = "highs",
    ) -> None:
        self.problem = problem
        self.found = found
        self.tasks = tasks
        self.names = Names(problem)
        self.model = mip.Model(sense=mip.MAXIMIZE, solver_name=solver.upper())
        self.model.verbose = 0
        self.y: dict[int, Any] = {}
        self.h: dict[tuple[int, int], Any] = {}
        self.z: dict[tuple[int, int, int], Any] = {}
        self.x: dict[tuple[int, int, int, int], Any] = {}
        self._loads: dict[str, dict[int, tuple[list[Any], list[int]]]] = defaultdict(dict)
        fixed = set(fixed)
        for t in tasks:
            if time.monotonic() > deadline:
                raise OutOfTimeError
            self._task(t, found[problem.tasks[t].request], must=t in fixed)
        self._identical()
        self._capacities()

    def _binary(self, name: str, low: int = 0) -> Any:
        return self.model.add_var(name, lb=low, ub=1, var_type=mip.INTEGER)

    def _row(self, name: str, variables: list[Any], coefs: list[int], sense: str, rhs: int) -> None:
        # The constructor is several times faster than xsum and comparisons of expressions.
        self.model.add_constr(mip.LinExpr(variables, coefs, -rhs, sense), name)

    def _task(self, t: int, found: Candidates, must: bool) -> None:
        key = self.names.tasks[t]
        y = self.y[t] = self._binary(f"y({key})", int(must))
        groups: list[Any] = []
        if found.grouped:
            groups = [self._binary(f"h({key},{g})") for g in range(len(found.groups))]
            self.h.update({(t, g): h for g, h in enumerate(groups)})
            self._row(f"start({key})", [*groups, y], [1] * len(groups) + [-1], "=", 0)
        slots_on: dict[int, list[Any]] = defaultdict(list)
        for k, nodes in enumerate(found.slots):
            for n in nodes:
                self._slot_on_node(t, k, n, nodes[n])
                z = self.z[t, k, n]
                slots_on[n].append(z)
                if groups:
                    near = [h for h, g in zip(groups, found.groups, strict=True) if n in g]
                    name = f"within({key},{k},{self.names.nodes[n]})"
                    self._row(name, [z, *near], [1] + [-1] * len(near), "<", 0)
            on = [self.z[t, k, n] for n in nodes]
            self._row(f"slot({key},{k})", [*on, y], [1] * len(on) + [-1], "=", 0)
        for n, on in slots_on.items():
            if len(on) > 1:
                self._row(f"once({key},{self.names.nodes[n]})", on, [1] * len(on), "<", 1)

    def _slot_on_node(self, t: int, k: int, n: int, devices: tuple[int, ...]) -> None:
        task, names = self.problem.request(t), self.names
        key, node = names.tasks[t], names.nodes[n]
        slot = task.slots[k]
        z = self.z[t, k, n] = self._binary(f"z({key},{k},{node})")
        cpus, memory = slot.need[self.problem.nodes[n].state]
        self._load("cpu", n, z, cpus)
        self._load("host", n, z, memory)
        by_device: dict[int, list[Any]] = defaultdict(list)
        for i in range(slot.devices):
            some = numbered(devices, i, slot.devices)
            for j in some:
                x = self.x[t, k, i, j] = self._binary(f"x({key},{k},{i},{names.devices[j]})")
                by_device[j].append(x)
                self._load("mem", j, x, task.memory or self.problem.devices[j].memory)
            row = [self.x[t, k, i, j] for j in some]
            self._row(f"place({key},{k},{i},{node})", [*row, z], [1] * len(row) + [-1], "=", 0)
        for j, row in by_device.items():
            if len(row) > 1:
                name = f"apart({key},{k},{names.devices[j]})"
                self._row(name, [*row, z], [1] * len(row) + [-1], "<", 0)

    def _load(self, what: str, index: int, variable: Any, amount: int) -> None:
        if amount:
            variables, amounts = self._loads[what].setdefault(index, ([], []))
            variables.append(variable)
            amounts.append(amount)

    def _identical(self) -> None:
        # Of identical tasks the one of higher priority starts first: swapping the two would be
        # feasible and lexicographically better, so this loses nothing.
        latest: dict[int, int] = {}
        for t in sorted(self.tasks):
            request = self.problem.tasks[t].request
            if (before := latest.get(request)) is not None:
                name = f"same({self.names.tasks[before]},{self.names.tasks[t]})"
                self._row(name, [self.y[t], self.y[before]], [1, -1], "<", 0)
            latest[request] = t

    def _capacities(self) -> None:
        free = {
            "mem": [max(0, d.memory - d.used) for d in self.problem.devices],
            "cpu": [max(0, n.cpus) for n in self.problem.nodes],
            "host": [max(0, n.memory) for n in self.problem.nodes],
        }
        for what, loads in self._loads.items():
            names = self.names.devices if what == "mem" else self.names.nodes
            for index, (variables, amounts) in loads.items():
                if sum(amounts) > free[what][index]:
                    row = f"{what}({names[index]})"
                    self._row(row, variables, amounts, "<", free[what][index])

    def weights(self) -> tuple[list[Any], list[float]]:
        """The terms of the last level, sum w·x."""
        terms = [(x, self.problem.weight(t, j)) for (t, _, _, j), x in self.x.items()]
        return [x for x, _ in terms], [w for _, w in terms]

    def maximise_weights(self) -> None:
        """Make sum w·x the objective."""
        self.model.objective = mip.LinExpr(*self.weights())

    def maximise_starts(self, tasks: Sequence[int]) -> None:
        """Make the starts of `tasks`, each worth more than all after it, the objective."""
        powers = [float(2 ** (len(tasks) - 1 - k)) for k in range(len(tasks))]
        self.model.objective = mip.LinExpr([self.y[t] for t in tasks], powers)

    def start_from(self, starts: Starts) -> None:
        """Hand the solver a feasible solution to improve."""
        ones: list[Any] = []
        position = self.problem.devices
        for t in starts.keys() & self.y.keys():
            ones.append(self.y[t])
            nodes = {choice.node for choice in starts[t]}
            found = self.found[self.problem.tasks[t].request]
            groups = enumerate(found.groups)
            if found.grouped:
                ones.append(next(self.h[t, g] for g, group in groups if nodes <= group))
            for k, choice in enumerate(starts[t]):
                ones.append(self.z[t, k, choice.node])
                ordered = sorted(choice.devices, key=lambda j: position[j].position)
                ones += [self.x[t, k, i, j] for i, j in enumerate(ordered)]
        chosen = {variable.idx for variable in ones}
        self.model.start = [(v, float(v.idx in chosen)) for v in self.model.vars]

    def optimise(self, seconds: float, gap: float, gap_abs: float) -> Answer:
        """Run the solver for at most `seconds`."""
        if seconds <= 0:
            raise OutOfTimeError
        model = self.model
        model.max_mip_gap, model.max_mip_gap_abs = gap, gap_abs
        if model.solver_name == mip.CBC:
            model.cuts = model.preprocess = 0  # with them CBC overruns its time limit many times
        status = model.optimize(max_seconds=seconds)
        state = mip.OptimizationStatus
        solved = status in (state.OPTIMAL, state.FEASIBLE)
        return Answer(
            starts=self._read() if solved else None,
            proven=status == state.OPTIMAL,
            bound=float(model.objective_bound) if solved else math.inf,
        )

    def _read(self) -> dict[int, tuple[SlotChoice, ...]]:
        at: dict[tuple[int, int], int] = {}
        devices: dict[tuple[int, int], list[int]] = defaultdict(list)
        for (t, k, n), z in self.z.items():
            if z.x > 0.5:
                at[t, k] = n
        for (t, k, _, j), x in self.x.items():
            if x.x > 0.5:
                devices[t, k].append(j)
        return {
            t: tuple(
                SlotChoice(node=at.get((t, k), -1), devices=tuple(devices[t, k]))
                for k in range(len(self.problem.request(t).slots))
            )
            for t in self.tasks
            if self.y[t].x > 0.5
        }


class Detailed:
    """The reference formulation: a variable per requested device and device."""

    def __init__(self, problem: Problem, solver: SolverName) -> None:
        self.problem, self.solver = problem, solver
        self.found: dict[int, Candidates] = {}

    def able(self, deadline: float = math.inf) -> list[int]:
        """The tasks that could start if they were alone."""
        for r, request in enumerate(self.problem.requests):
            if time.monotonic() > deadline:
                raise OutOfTimeError
            if found := candidates(self.problem, request):
                self.found[r] = found
        return [t for t, task in enumerate(self.problem.tasks) if task.request in self.found]

    def model(
        self, tasks: Sequence[int], fixed: Sequence[int] = (), deadline: float = math.inf
    ) -> DetailedModel:
        """The model in which `tasks` may start and those in `fixed` must."""
        return DetailedModel(
            self.problem, self.found, tasks, fixed, deadline=deadline, solver=self.solver
        )


def variables(problem: Problem) -> int:
    """About how many variables the reference formulation has."""
    nodes = Counter(node.state for node in problem.nodes)
    size = {node.state: len(node.devices) for node in problem.nodes}
    tasks = Counter(task.request for task in problem.tasks)
    return sum(
        tasks[r] * slot.devices * nodes[s] * max(1, size[s] - slot.devices + 1)
        for r, request in enumerate(problem.requests)
        for slot in request.slots
        for s in slot.need
    )
