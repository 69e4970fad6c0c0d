"""The reference formulation as a MIP: a variable per requested device and device."""

from __future__ import annotations

import math
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

from slurm_het.core.assignment.first_fit import Starts
from slurm_het.core.assignment.problem import Problem, SlotChoice
from slurm_het.solve.detailed.candidates import Candidates, Names, candidates, numbered
from slurm_het.solve.mip_model import MipModel, Sense, SolverName, Variable
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
        self.model = MipModel(solver)
        self.y: dict[int, Variable] = {}
        self.h: dict[tuple[int, int], Variable] = {}
        self.z: dict[tuple[int, int, int], Variable] = {}
        self.x: dict[tuple[int, int, int, int], Variable] = {}
        self._loads: dict[str, dict[int, tuple[list[Variable], list[int]]]] = defaultdict(dict)
        fixed = set(fixed)
        for t in tasks:
            if time.monotonic() > deadline:
                raise OutOfTimeError
            self._task(t, found[problem.tasks[t].request], must=t in fixed)
        self._identical()
        self._capacities()

    def _binary(self, name: str, low: int = 0) -> Variable:
        return self.model.variable(low, 1, name)

    def _row(
        self, name: str, variables: list[Variable], coefs: list[int], sense: Sense, limit: int
    ) -> None:
        self.model.row(variables, coefs, sense, limit, name)

    def _task(self, t: int, found: Candidates, must: bool) -> None:
        key = self.names.tasks[t]
        y = self.y[t] = self._binary(f"y({key})", int(must))
        groups: list[Variable] = []
        if found.grouped:
            groups = [self._binary(f"h({key},{g})") for g in range(len(found.groups))]
            self.h.update({(t, g): h for g, h in enumerate(groups)})
            self._row(f"start({key})", [*groups, y], [1] * len(groups) + [-1], "=", 0)
        slots_on: dict[int, list[Variable]] = defaultdict(list)
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
        need = slot.need[self.problem.nodes[n].state]
        self._load("cpu", n, z, need.cpus)
        self._load("host", n, z, need.memory_mib)
        by_device: dict[int, list[Variable]] = defaultdict(list)
        for i in range(slot.devices):
            some = numbered(devices, i, slot.devices)
            for j in some:
                x = self.x[t, k, i, j] = self._binary(f"x({key},{k},{i},{names.devices[j]})")
                by_device[j].append(x)
                self._load("mem", j, x, task.memory_gib or self.problem.devices[j].memory_gib)
            row = [self.x[t, k, i, j] for j in some]
            self._row(f"place({key},{k},{i},{node})", [*row, z], [1] * len(row) + [-1], "=", 0)
        for j, row in by_device.items():
            if len(row) > 1:
                name = f"apart({key},{k},{names.devices[j]})"
                self._row(name, [*row, z], [1] * len(row) + [-1], "<", 0)

    def _load(self, what: str, index: int, variable: Variable, amount: int) -> None:
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
            "mem": [device.free_gib for device in self.problem.devices],
            "cpu": [node.cpus for node in self.problem.nodes],
            "host": [node.memory_mib for node in self.problem.nodes],
        }
        for what, loads in self._loads.items():
            names = self.names.devices if what == "mem" else self.names.nodes
            for index, (variables, amounts) in loads.items():
                if sum(amounts) > free[what][index]:
                    row = f"{what}({names[index]})"
                    self._row(row, variables, amounts, "<", free[what][index])

    def weights(self) -> tuple[list[Variable], list[float]]:
        """The terms of the last level, sum w·x."""
        terms = [(x, self.problem.weight(t, j)) for (t, _, _, j), x in self.x.items()]
        return [x for x, _ in terms], [w for _, w in terms]

    def maximise_weights(self) -> None:
        """Make sum w·x the objective."""
        self.model.maximise(*self.weights())

    def maximise_starts(self, tasks: Sequence[int]) -> None:
        """Make the starts of `tasks`, each worth more than all after it, the objective."""
        self.model.maximise_in_order([self.y[t] for t in tasks])

    def start_from(self, starts: Starts) -> None:
        """Hand the solver a feasible solution to improve."""
        ones: list[Variable] = []
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
        self.model.start_from(ones)

    def optimise(self, seconds: float, gap: float, gap_abs: float) -> Answer:
        """Run the solver for at most `seconds`."""
        if seconds <= 0:
            raise OutOfTimeError
        solved = self.model.solve(seconds, gap, gap_abs)
        return Answer(self._read() if solved.found else None, solved.proven, solved.bound)

    def _read(self) -> dict[int, tuple[SlotChoice, ...]]:
        at = {(t, k): n for t, k, n in self.model.chosen(self.z)}
        devices: dict[tuple[int, int], list[int]] = defaultdict(list)
        for t, k, _, j in self.model.chosen(self.x):
            devices[t, k].append(j)
        return {
            t: tuple(
                SlotChoice(node=at.get((t, k), -1), devices=tuple(devices[t, k]))
                for k in range(len(self.problem.request(t).slots))
            )
            for t in self.model.chosen(self.y)
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
