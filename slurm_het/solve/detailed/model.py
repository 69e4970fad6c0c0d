"""The reference formulation as a MIP: a variable per requested device and device."""

from __future__ import annotations

import math
import time
from collections import Counter, defaultdict
from collections.abc import Sequence

from slurm_het.core.assignment.first_fit import Starts
from slurm_het.core.assignment.problem import Problem, SlotChoice
from slurm_het.solve.detailed.candidates import Candidates, Names, candidates_for, numbered
from slurm_het.solve.mip_model import MipModel, SolverName, Variable
from slurm_het.solve.search import Answer, OutOfTimeError


class Detailed:
    """The reference formulation: a variable per requested device and device."""

    def __init__(self, problem: Problem, solver: SolverName) -> None:
        self.problem, self.solver = problem, solver
        self.candidates: dict[int, Candidates] = {}  # by request

    def able(self, deadline: float = math.inf) -> list[int]:
        """The tasks that could start if they were alone."""
        for r, request in enumerate(self.problem.requests):
            if time.monotonic() > deadline:
                raise OutOfTimeError
            if there := candidates_for(self.problem, request):
                self.candidates[r] = there
        return [t for t, task in enumerate(self.problem.tasks) if task.request in self.candidates]

    def model(
        self, tasks: Sequence[int], fixed: Sequence[int] = (), deadline: float = math.inf
    ) -> DetailedModel:
        """The model in which `tasks` may start and those in `fixed` must."""
        return DetailedModel(self, tasks, fixed, deadline)


class DetailedModel:
    """One model: `tasks` may start, those in `fixed` must; all the others do not start.

    Its variables are those of the formula in core/assignment/problem.py.
    """

    def __init__(
        self, formulation: Detailed, tasks: Sequence[int], fixed: Sequence[int], deadline: float
    ) -> None:
        self.problem, self.candidates = formulation.problem, formulation.candidates
        self.tasks = tasks
        self.names = Names(self.problem)
        self.model = MipModel(formulation.solver)
        self.y: dict[int, Variable] = {}
        self.h: dict[tuple[int, int], Variable] = {}
        self.z: dict[tuple[int, int, int], Variable] = {}
        self.x: dict[tuple[int, int, int, int], Variable] = {}
        self._loads: dict[str, dict[int, tuple[list[Variable], list[int]]]] = defaultdict(dict)
        must = set(fixed)
        for t in tasks:
            if time.monotonic() > deadline:
                raise OutOfTimeError
            self._task(t, must=t in must)
        self._identical()
        self._capacities()
        self._budgets()

    def _binary(self, name: str, low: int = 0) -> Variable:
        return self.model.variable(low, 1, name)

    def _task(self, t: int, must: bool) -> None:
        key, candidates = self.names.tasks[t], self.candidates[self.problem.tasks[t].request]
        y = self.y[t] = self._binary(f"y({key})", int(must))
        groups: list[Variable] = []
        if candidates.grouped:
            groups = [self._binary(f"h({key},{g})") for g in range(len(candidates.groups))]
            self.h.update({(t, g): h for g, h in enumerate(groups)})
            self.model.row([*groups, y], [1] * len(groups) + [-1], "=", 0, f"start({key})")
        slots_on: dict[int, list[Variable]] = defaultdict(list)
        for k, nodes in enumerate(candidates.slots):
            for n in nodes:
                self._slot_on_node(t, k, n, nodes[n])
                z = self.z[t, k, n]
                slots_on[n].append(z)
                if groups:
                    near = [h for h, g in zip(groups, candidates.groups, strict=True) if n in g]
                    name = f"within({key},{k},{self.names.nodes[n]})"
                    self.model.row([z, *near], [1] + [-1] * len(near), "<", 0, name)
            on = [self.z[t, k, n] for n in nodes]
            self.model.row([*on, y], [1] * len(on) + [-1], "=", 0, f"slot({key},{k})")
        for n, on in slots_on.items():
            if len(on) > 1:
                self.model.row(on, [1] * len(on), "<", 1, f"once({key},{self.names.nodes[n]})")

    def _slot_on_node(self, t: int, k: int, n: int, devices: tuple[int, ...]) -> None:
        request, names = self.problem.request(t), self.names
        key, node = names.tasks[t], names.nodes[n]
        slot = request.slots[k]
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
                self._load("mem", j, x, request.memory_gib or self.problem.devices[j].memory_gib)
            row = [self.x[t, k, i, j] for j in some]
            name = f"place({key},{k},{i},{node})"
            self.model.row([*row, z], [1] * len(row) + [-1], "=", 0, name)
        for j, row in by_device.items():
            if len(row) > 1:
                name = f"apart({key},{k},{names.devices[j]})"
                self.model.row([*row, z], [1] * len(row) + [-1], "<", 0, name)

    def _load(self, resource: str, index: int, variable: Variable, amount: int) -> None:
        """What the variable takes of a resource of a device or node, if it is 1."""
        if amount:
            variables, amounts = self._loads[resource].setdefault(index, ([], []))
            variables.append(variable)
            amounts.append(amount)

    def _identical(self) -> None:
        # Of identical tasks the one of higher priority starts first: swapping the two would be
        # feasible and lexicographically better, so this loses nothing.
        latest: dict[tuple[object, ...], int] = {}
        for t in sorted(self.tasks):
            kind = self.problem.kind(t)
            if (before := latest.get(kind)) is not None:
                name = f"same({self.names.tasks[before]},{self.names.tasks[t]})"
                self.model.row([self.y[t], self.y[before]], [1, -1], "<", 0, name)
            latest[kind] = t

    def _capacities(self) -> None:
        free = {
            "mem": [device.free_gib for device in self.problem.devices],
            "cpu": [node.cpus for node in self.problem.nodes],
            "host": [node.memory_mib for node in self.problem.nodes],
        }
        for resource, loads in self._loads.items():
            names = self.names.devices if resource == "mem" else self.names.nodes
            for index, (variables, amounts) in loads.items():
                if sum(amounts) > (limit := free[resource][index]):
                    self.model.row(variables, amounts, "<", limit, f"{resource}({names[index]})")

    def _budgets(self) -> None:
        for b in self.problem.overspent(self.tasks):
            uses = {t: use for t in self.tasks if (use := dict(self.problem.tasks[t].uses).get(b))}
            left, name = self.problem.budgets[b].left, f"budget({b})"
            self.model.row([self.y[t] for t in uses], list(uses.values()), "<", left, name)

    def weights(self) -> tuple[list[Variable], list[float]]:
        """The terms of the last level, sum w·x + sum v·h."""
        terms = [(x, self.problem.weight(t, j)) for (t, _, _, j), x in self.x.items()]
        for (t, g), h in self.h.items():
            if worth := self.candidates[self.problem.tasks[t].request].worths[g]:
                terms.append((h, worth))
        return [x for x, _ in terms], [w for _, w in terms]

    def maximise_weights(self) -> None:
        """Make sum w·x the objective."""
        self.model.maximise(*self.weights())

    def maximise_starts(self, tasks: Sequence[int]) -> None:
        """Make the starts of `tasks`, each worth more than all after it, the objective."""
        self.model.maximise_in_order([self.y[t] for t in tasks])

    def start_from(self, starts: Starts) -> None:
        """Hand the solver a feasible plan to improve."""
        ones: list[Variable] = []
        devices = self.problem.devices
        for t in starts.keys() & self.y.keys():
            ones.append(self.y[t])
            nodes = {choice.node for choice in starts[t]}
            candidates = self.candidates[self.problem.tasks[t].request]
            if candidates.grouped:
                ones.append(self.h[t, candidates.best_group(nodes)])
            for k, choice in enumerate(starts[t]):
                ones.append(self.z[t, k, choice.node])
                ordered = sorted(choice.devices, key=lambda j: devices[j].position)
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
