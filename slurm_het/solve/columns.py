"""The last level where the problem has prices: which of the tasks that start share a node.

What a placement costs depends on all that is put on its node, so a column is a node and a set of
tasks for it, worth their weights minus what the set costs by the prices (see core/assignment):

    maximise   sum worth x
    task_r     sum of the columns' tasks like r   = those that start    price a_r
    node_p     sum of the columns on nodes like p <= nodes like p       price b_p

Columns are found by growing sets: a task more joins a set where its worth is above what the prices
say (Gilmore and Gomory's method; the sets of one more task are tried, not all). So the plan need
not be the best of all, but it is never worse than the one to begin with. Tasks of several nodes
stay where they are.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from typing import NamedTuple

from slurm_het.core.assignment.first_fit import Starts, value
from slurm_het.core.assignment.problem import PDevice, PNode, Problem, SlotChoice, Solution
from slurm_het.core.assignment.remaining import Remaining
from slurm_het.solve.mip_model import MipModel, Row, SolverName, for_relaxing

ROUNDS = 6
"""So often sets grow by a task."""
NEAREST = 6
"""To begin with each kind of task has columns on so many of the places that it likes best."""
GROWING = 4
"""Of each place so many sets grow, the best by the prices."""
LP_SHARE = 0.6
"""Share of the time after which no more columns are looked for."""
LEAST = 1e-6
"""A column or a plan must be better by so much."""

Kinds = tuple[int, ...]
"""A set of tasks: the request of each, sorted."""


class AlikeNodes(NamedTuple):
    """Nodes with the same left on them: the problem with one of these alone, and all of them."""

    alone: Problem
    nodes: tuple[int, ...]


class Fill(NamedTuple):
    """A set of tasks on a node of a place (its index)."""

    place: int
    kinds: Kinds


def rearrange(
    problem: Problem, solution: Solution, seconds: float, solver: SolverName = "highs"
) -> Solution:
    """The same tasks where they are worth more together; the solution itself if nothing better is
    found in time, or where the problem has no prices."""
    began = time.monotonic()
    search = _Columns(problem, solution.starts, began + seconds * LP_SHARE)
    if problem.prices is None or len(search.moved) < 2:
        return solution
    for _ in range(ROUNDS):
        if not search.grow(for_relaxing(solver)):
            break
    found = search.expand(search.choose(solver, began + seconds - time.monotonic()))
    worth = value(problem, found) if found else -math.inf
    if found is None or worth < value(problem, solution.starts) + LEAST:
        return solution
    took = solution.seconds + time.monotonic() - began
    return Solution(found, "incumbent", worth, worth, 0.0, took)


class _Columns:
    """The columns so far, beside the tasks of several nodes."""

    def __init__(self, problem: Problem, starts: Starts, until: float) -> None:
        self.problem, self.starts, self.until = problem, starts, until
        self.moved = [t for t, choices in sorted(starts.items()) if len(choices) == 1]
        self.remaining = self._beside()
        self.like = Counter(problem.tasks[t].request for t in self.moved)
        self.places = self._places()
        self.worths: dict[Fill, float | None] = {}
        self.columns: dict[Fill, float] = {}
        self._first()

    def _beside(self) -> Remaining:
        remaining = Remaining(self.problem)
        for t, choices in self.starts.items():
            if len(choices) > 1:
                remaining.take(self.problem.request(t), choices)
        return remaining

    def _places(self) -> list[AlikeNodes]:
        """Nodes on which nothing is put yet by their state, the others one by one."""
        remaining = self.remaining
        groups = [tuple(reversed(nodes)) for nodes in remaining.fresh.values() if nodes]
        groups += [(n,) for n in dict.fromkeys(remaining.touched)]
        return [AlikeNodes(self._alone(nodes[0]), nodes) for nodes in groups]

    def _alone(self, n: int) -> Problem:
        """The problem with this node alone, as it is now."""
        problem, remaining = self.problem, self.remaining
        devices = []
        for i, j in enumerate(remaining.open(n)):
            device = problem.devices[j]
            used = device.memory_gib - remaining.free_gib[j]
            devices.append(PDevice(0, i, device.memory_gib, used, remaining.whole[j], device.state))
        node = problem.nodes[n]
        made = PNode(
            node.name, remaining.cpus[n], remaining.memory_mib[n], tuple(range(len(devices))),
            node.state,
        )  # fmt: skip
        return replace(problem, nodes=(made,), devices=tuple(devices), tasks=(), budgets=())

    def _first(self) -> None:
        """The plan's own columns, and each kind alone where it likes best to be."""
        by_node: dict[int, list[int]] = {}
        for t in self.moved:
            by_node.setdefault(self.starts[t][0].node, []).append(self.problem.tasks[t].request)
        where = {n: p for p, place in enumerate(self.places) for n in place.nodes}
        for n, kinds in by_node.items():
            self._add(Fill(where[n], tuple(sorted(kinds))))
        for r in self.like:
            if time.monotonic() > self.until:
                return
            alone = [(self._worth(Fill(p, (r,))), p) for p in range(len(self.places))]
            best = sorted(((w, p) for w, p in alone if w is not None), reverse=True)
            for _, p in best[:NEAREST]:
                self._add(Fill(p, (r,)))

    def _add(self, column: Fill) -> bool:
        worth = self._worth(column)
        if worth is None or column in self.columns:
            return False
        self.columns[column] = worth
        return True

    def _worth(self, column: Fill) -> float | None:
        """What a column is worth; None if the tasks do not fit."""
        if column not in self.worths:
            self.worths[column] = self._work_out(column)
        return self.worths[column]

    def _work_out(self, column: Fill) -> float | None:
        alone = self.places[column.place].alone
        remaining, total = Remaining(alone), 0.0
        state = alone.nodes[0].state
        for r in column.kinds:
            request = alone.requests[r]
            slot = request.slots[0]
            if state not in slot.need or not any(state in group for group in request.groups):
                return None
            best = remaining.best(request, slot, 0)
            if best is None:
                return None
            choice = SlotChoice(0, best[1])
            weights = alone.weights[request.weights]
            total += sum([weights[alone.devices[j].state] for j in choice.devices])
            total -= remaining.cost(request, slot, choice)
            remaining.take(request, (choice,))
        return total

    def grow(self, solver: SolverName) -> bool:
        """Add the sets of one task more that are worth it at the program's prices; False if there
        is none, or no more time."""
        if not self.columns:
            return False
        program = _Packing(self, solver, whole=False)
        seconds = self.until - time.monotonic()
        if seconds <= 0 or program.model.relax(seconds) is None:
            return False
        tasks = program.model.prices(program.tasks)
        nodes = program.model.prices(program.nodes)

        def gain(column: Fill, worth: float) -> float:
            return worth - sum([tasks[r] for r in column.kinds]) - nodes[column.place]

        by_place: dict[int, list[tuple[float, Kinds]]] = {p: [(0.0, ())] for p in nodes}
        for column, worth in self.columns.items():
            by_place[column.place].append((gain(column, worth), column.kinds))
        found = False
        for p, sets in by_place.items():
            if time.monotonic() > self.until:
                return False
            for column in self._grown(p, sets):
                grown = self._worth(column)
                if grown is not None and gain(column, grown) > LEAST:
                    found |= self._add(column)
        return found

    def _grown(self, p: int, sets: list[tuple[float, Kinds]]) -> Iterable[Fill]:
        for _, kinds in sorted(sets, reverse=True)[:GROWING]:
            have = Counter(kinds)
            for r, most in self.like.items():
                if have[r] < most:
                    yield Fill(p, tuple(sorted((*kinds, r))))

    def choose(self, solver: SolverName, seconds: float) -> dict[Fill, int]:
        """How often the best plan has each column; nothing if none is found in time."""
        if not self.columns:
            return {}
        program = _Packing(self, solver, whole=True)
        if not program.model.solve(seconds, 1e-4, 1e-6).found:
            return {}
        counts = program.model.values(program.columns.values())
        return {c: round(x) for c, x in zip(program.columns, counts, strict=True) if round(x)}

    def expand(self, chosen: dict[Fill, int]) -> dict[int, tuple[SlotChoice, ...]] | None:
        """The plan of these columns, by priority on the devices that Slurm will take; None if it
        does not come out."""
        left: dict[int, list[int]] = {}
        for t in reversed(self.moved):
            left.setdefault(self.problem.tasks[t].request, []).append(t)
        where: dict[int, int] = {}
        nodes = [list(reversed(place.nodes)) for place in self.places]
        for column, count in chosen.items():
            for _ in range(count):
                n = nodes[column.place].pop()
                where |= {left[r].pop(): n for r in column.kinds}
        if len(where) < len(self.moved):
            return None
        found = {t: choices for t, choices in self.starts.items() if len(choices) > 1}
        remaining = self._beside()
        for t in self.moved:
            request = self.problem.request(t)
            devices = remaining.devices(request, request.slots[0], where[t])
            if devices is None:
                return None
            found[t] = (SlotChoice(where[t], devices),)
            remaining.take(request, found[t])
        return dict(sorted(found.items()))


class _Packing:
    """The program of the columns so far."""

    def __init__(self, columns: _Columns, solver: SolverName, *, whole: bool) -> None:
        self.model = MipModel(solver)
        tasks: dict[int, tuple[list[object], list[float]]] = {}
        nodes: dict[int, list[object]] = {}
        self.columns = {}
        for column, worth in columns.columns.items():
            x = self.columns[column] = self.model.variable(gain=worth, whole=whole)
            nodes.setdefault(column.place, []).append(x)
            for r, count in Counter(column.kinds).items():
                variables, counts = tasks.setdefault(r, ([], []))
                variables.append(x)
                counts.append(count)
        self.tasks: dict[int, Row] = {
            r: self.model.row(*tasks[r], "=", count) for r, count in columns.like.items()
        }
        self.nodes: dict[int, Row] = {
            p: self.model.row(xs, [1.0] * len(xs), "<", len(columns.places[p].nodes))
            for p, xs in nodes.items()
        }
