"""The formulation in counts, against the reference, which is tested by brute force."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings

from bench.solve_naive import instance
from slurm_het.core.assignment.problem import (
    Need,
    PDevice,
    PNode,
    Problem,
    PSlot,
    Solution,
    violations,
)
from slurm_het.solve.detailed.model import Detailed
from slurm_het.solve.mip_model import SolverName
from slurm_het.solve.pooled.formulation import Pooled
from slurm_het.solve.search import Search
from slurm_het.solve.solve import solve
from tests.support.problems import Ask, asks_of, crowds, problem_of, problems

SOLVERS: tuple[SolverName, ...] = ("highs", "cbc")
property_test = settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)


def reference(problem: Problem) -> Solution:
    """The optimum, from the reference formulation."""
    found = Search(problem, 60, Detailed(problem, "highs"), 0.0).run()
    assert found.status == "optimal"
    return found


def apart(problem: Problem) -> Problem:
    """The same with every node and device in a state of its own."""
    nodes = tuple(replace(node, state=n) for n, node in enumerate(problem.nodes))
    devices = tuple(replace(device, state=j) for j, device in enumerate(problem.devices))
    asks = []
    for ask in asks_of(problem):
        slots = tuple(
            PSlot(slot.devices, {n: slot.need[node.state] for n, node in enumerate(problem.nodes)
                                 if node.state in slot.need})
            for slot in ask.slots
        )  # fmt: skip
        groups = tuple(
            frozenset(n for n, node in enumerate(problem.nodes) if node.state in group)
            for group in ask.groups
        )
        weights = {
            j: ask.weights[device.state]
            for j, device in enumerate(problem.devices)
            if device.state in ask.weights
        }
        asks.append(replace(ask, slots=slots, groups=groups, weights=weights))
    return problem_of(nodes, devices, asks, problem.budgets)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("states", ["crowds", "each node its own state"])
def test_counts_against_the_reference(solver: SolverName, states: str) -> None:
    """What it says of its plan is true, and what it calls optimal is the best there is."""
    proven: list[bool] = []

    @property_test
    @given(crowds() if states == "crowds" else problems())
    def check(problem: Problem) -> None:
        found = Search(problem, 30, Pooled(problem, solver), 0.0).run()
        best = reference(problem)
        assert violations(problem, found) == []
        assert order(problem, found) <= order(problem, best)
        proven.append(found.status == "optimal")
        if proven[-1]:
            assert found.starts.keys() == best.starts.keys()
            assert found.objective == pytest.approx(best.objective, abs=1e-5)
        if found.starts.keys() == best.starts.keys():
            assert found.bound >= best.objective - 1e-5

    check()
    # It must not get away with proving little: about 80 % of such problems, by chance 70 to 96.
    assert sum(proven) > 0.5 * len(proven)


def order(problem: Problem, solution: Solution) -> list[bool]:
    """Which tasks start: compares as the lexicographic objective does."""
    return [t in solution.starts for t in range(len(problem.tasks))]


@property_test
@given(crowds())
def test_states_lose_nothing(problem: Problem) -> None:
    one, other = reference(problem), reference(apart(problem))
    assert violations(apart(problem), one) == violations(problem, other) == []
    assert one.starts.keys() == other.starts.keys()
    assert one.objective == pytest.approx(other.objective, abs=1e-6)


def test_a_large_cluster_is_planned_near_its_bound() -> None:
    problem = instance(200, 100, 0.5, seed=2)
    found = solve(problem, 20)
    assert found.status in ("optimal", "incumbent")
    assert violations(problem, found) == []
    assert found.gap < 0.05


def test_of_an_odd_number_of_nodes_one_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bound of the LP alone knows it: half a task on the third node would be worth more."""
    monkeypatch.setattr("slurm_het.solve.pooled.formulation.ALL_CHOICES", 0)
    nodes = [PNode(f"n{n}", 8, 0, (n,), n // 3) for n in range(6)]
    devices = [PDevice(n, 0, 8, 0, True, n // 3) for n in range(6)]
    slots = (PSlot(1, dict.fromkeys((0, 1), Need(1, 0))),) * 2
    groups = (frozenset({0}), frozenset({1}))
    asks = [Ask(key, slots, 0, groups, {0: 3.0, 1: 1.0}) for key in ("first", "second")]
    problem = problem_of(nodes, devices, asks)
    found = Search(problem, 30, Pooled(problem, "highs"), 0.0).run()
    assert (found.status, found.objective) == ("optimal", 8.0)
    assert found.bound == pytest.approx(8.0)
