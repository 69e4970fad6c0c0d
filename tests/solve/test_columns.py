"""Where a plan's tasks lie together: never worth less than first-fit's, by the one measure."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from slurm_het.core.assignment.first_fit import greedy, value
from slurm_het.core.assignment.prices import NodePrices, Prices, Table
from slurm_het.core.assignment.problem import Problem, violations
from slurm_het.solve.columns import rearrange
from slurm_het.solve.mip_model import SolverName
from tests.support.problems import (
    STEP,
    asks_of,
    random_crowd,
    random_problem,
    simple,
    with_asks,
    with_prices,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 2**32 - 1), st.sampled_from([random_problem, random_crowd]))
def test_a_plan_is_never_worth_less_than_first_fits(
    seed: int, make: Callable[[random.Random], Problem]
) -> None:
    rng = random.Random(seed)
    problem = with_prices(make(rng), rng)
    first = greedy(problem)
    found = rearrange(problem, first, 5.0)
    assert found.starts.keys() == first.starts.keys()
    assert violations(problem, found) == []
    assert value(problem, found.starts) >= value(problem, first.starts)
    assert found.objective == pytest.approx(value(problem, found.starts))


@pytest.mark.parametrize("solver", ["highs", "cbc"])
def test_the_small_task_leaves_the_device_to_the_large_one(solver: SolverName) -> None:
    """Alone it costs least there: then the large one has to break a device that is whole."""
    problem = simple(nodes=3, devices=1, tasks=2, memory_gib=40)
    free = (40, 80, 16)
    devices = tuple(
        replace(device, used_gib=80 - gib, whole=gib == 80)
        for device, gib in zip(problem.devices, free, strict=True)
    )
    small, large = asks_of(problem)
    small = replace(small, memory_gib=16)
    large = replace(large, weights={0: 1.0, 1: 1.0})
    worth = {0: 0.0, 16: 0.1, 24: 0.4, 80: 0.6}
    rows = [(max(w for gib, w in worth.items() if gib <= row * STEP),) for row in range(41)]
    table = Table(80, STEP, (*rows, (1.0,)))
    now = NodePrices(Prices((0.0,), (0.0,), (table,)), dict.fromkeys(range(3), 0), (), 1.0)
    problem = replace(with_asks(replace(problem, devices=devices), small, large), prices=now)

    first = greedy(problem)
    assert [choices[0].node for choices in first.starts.values()] == [0, 1]
    found = rearrange(problem, first, 5.0, solver)
    assert [choices[0].node for choices in found.starts.values()] == [2, 0]
    assert found.objective > first.objective
