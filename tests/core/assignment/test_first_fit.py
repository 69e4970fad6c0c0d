"""First-fit by prices: the best place of all, though few are looked at."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slurm_het.core.assignment.first_fit import greedy
from slurm_het.core.assignment.problem import Need, PDevice, PNode, Problem, PSlot
from slurm_het.core.assignment.remaining import Remaining
from tests.support.problems import (
    Ask,
    problem_of,
    random_crowd,
    random_problem,
    trimmed,
    with_prices,
)


def many_states(rng: random.Random) -> Problem:
    """Equal devices on nodes of which no two are in one state, and tasks that weigh all alike."""
    nodes: list[PNode] = []
    devices: list[PDevice] = []
    for n in range(12):
        first = len(devices)
        for position in range(rng.choice((1, 2, 4))):
            used = rng.choice((0, 0, 4, 10))
            devices.append(PDevice(n, position, 16, used, not used, len(devices)))
        mine = tuple(range(first, len(devices)))
        nodes.append(PNode(f"n{n}", rng.randrange(16), 0, mine, n))
    everywhere = frozenset(range(len(nodes)))
    tasks = [
        Ask(
            str(t), (PSlot(rng.choice((1, 2)), dict.fromkeys(everywhere, Need(t, 0))),),
            rng.choice((0, 3, 6)), (everywhere,), dict.fromkeys(range(len(devices)), 0.5),
        )
        for t in range(8)
    ]  # fmt: skip
    return trimmed(problem_of(nodes, devices, tasks))


MAKERS = [random_problem, random_crowd, many_states]


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(MAKERS), st.booleans())
def test_each_task_gets_the_place_that_is_worth_most_to_it(
    seed: int, make: Callable[[random.Random], Problem], priced: bool
) -> None:
    rng = random.Random(seed)
    problem = make(rng)
    if priced:
        problem = with_prices(problem, rng)
    remaining = Remaining(problem)
    for t, choices in greedy(problem).starts.items():
        request = problem.request(t)
        if len(request.slots) == 1:
            slot, (choice,) = request.slots[0], choices
            allowed = frozenset().union(*request.groups)
            worths = {
                n: worth
                for n, node in enumerate(problem.nodes)
                if node.state in slot.need and node.state in allowed
                if (worth := remaining.worth(request, slot, n)) is not None
            }
            assert worths[choice.node] == pytest.approx(max(worths.values()))
        remaining.take(request, choices)
