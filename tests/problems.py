"""Small assignment problems for tests: a strategy, and a brute-force solver to compare with."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from hypothesis import strategies as st

from slurm_het.core.greedy import value
from slurm_het.core.problem import (
    PDevice,
    PNode,
    Problem,
    PSlot,
    PTask,
    SlotChoice,
    Solution,
    violations,
)

Chosen = dict[int, tuple[SlotChoice, ...]]


@st.composite
def problems(draw: st.DrawFn) -> Problem:
    """At most 3 nodes of 3 devices and 4 tasks; everything may bind."""
    nodes: list[PNode] = []
    devices: list[PDevice] = []
    for n in range(draw(st.integers(1, 3))):
        first = len(devices)
        for position in range(draw(st.integers(1, 3))):
            memory = draw(st.sampled_from([16, 40, 80]))
            used = draw(st.sampled_from([0, 0, 0, 10, 16]))
            whole = used == 0 and draw(st.booleans())
            devices.append(PDevice(n, position, memory, used, whole))
        mine = tuple(range(first, len(devices)))
        nodes.append(PNode(f"n{n}", draw(st.integers(-1, 8)), draw(st.integers(0, 8000)), mine))
    tasks: list[PTask] = [
        draw(_tasks(len(nodes), devices, t)) for t in range(draw(st.integers(0, 4)))
    ]
    if draw(st.booleans()) and len(tasks) > 1:  # identical tasks have rules of their own
        last = tasks[-1]
        tasks[0] = PTask("twin", last.slots, last.memory, last.groups, last.weights)
    return Problem(tuple(nodes), tuple(devices), tuple(tasks))


@st.composite
def _tasks(draw: st.DrawFn, nodes: int, devices: list[PDevice], t: int) -> PTask:
    some_nodes = st.frozensets(st.integers(0, nodes - 1), min_size=1)
    needs = st.tuples(st.integers(0, 5), st.integers(0, 5000))
    slots = tuple(
        PSlot(draw(st.integers(1, 3)), {n: draw(needs) for n in sorted(draw(some_nodes))})
        for _ in range(draw(st.sampled_from([1, 1, 2])))
    )
    usable = [j for j in range(len(devices)) if draw(st.integers(0, 9))]
    return PTask(
        key=f"{t}_{t}",
        slots=slots,
        memory=draw(st.sampled_from([0, 0, 8, 10, 24])),
        groups=tuple(draw(st.lists(some_nodes, min_size=1, max_size=3))),
        weights={j: draw(st.integers(-4, 32)) / 8 for j in usable},
    )


def oracle(problem: Problem) -> tuple[list[int], float]:
    """The lexicographically best set of started tasks and its highest sum w·x, by enumeration."""
    count = len(problem.tasks)
    for pattern in itertools.product((True, False), repeat=count):
        wanted = [t for t in range(count) if pattern[t]]
        plans = _plans(problem, wanted, {})
        best = max((value(problem, plan) for plan in plans), default=None)
        if best is not None:
            return wanted, best
    raise AssertionError("starting nothing is always feasible")


def _plans(problem: Problem, wanted: list[int], sofar: Chosen) -> Iterator[Chosen]:
    if not wanted:
        yield sofar
        return
    for choices in _choices(problem, problem.tasks[wanted[0]]):
        plan = {**sofar, wanted[0]: choices}
        if not violations(problem, Solution(starts=plan)):
            yield from _plans(problem, wanted[1:], plan)


def _choices(problem: Problem, task: PTask) -> Iterator[tuple[SlotChoice, ...]]:
    per_slot = [
        [
            SlotChoice(n, devices)
            for n in slot.need
            for devices in itertools.combinations(problem.nodes[n].devices, slot.devices)
        ]
        for slot in task.slots
    ]
    return itertools.product(*per_slot)


def simple(nodes: int = 2, devices: int = 2, tasks: int = 1, memory: int = 0) -> Problem:
    """Equal nodes of equal 80 GiB devices, and equal tasks for one device each."""
    cluster = [
        PNode(f"n{n}", 8, 8000, tuple(range(n * devices, (n + 1) * devices))) for n in range(nodes)
    ]
    cards = [PDevice(n, p, 80, 0, True) for n in range(nodes) for p in range(devices)]
    everywhere = frozenset(range(nodes))
    slot = PSlot(1, dict.fromkeys(everywhere, (1, 1000)))
    weights = dict.fromkeys(range(len(cards)), 1.0)
    queue = [PTask(f"{t}", (slot,), memory, (everywhere,), weights) for t in range(tasks)]
    return Problem(tuple(cluster), tuple(cards), tuple(queue))
