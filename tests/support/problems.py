"""Small assignment problems for tests: a strategy, and a brute-force solver to compare with."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from hypothesis import strategies as st

from slurm_het.core.assignment.first_fit import value
from slurm_het.core.assignment.prices import NodePrices, Places, Prices, Table
from slurm_het.core.assignment.problem import (
    Need,
    PBudget,
    PDevice,
    PNode,
    PRequest,
    Problem,
    PSlot,
    PTask,
    SlotChoice,
    Solution,
    violations,
)


def free_of_charge() -> NodePrices:
    """Prices by which nothing costs anything."""
    return NodePrices(Prices((0.0,), (0.0,), ()), {}, (), 1.0)


STEP = 2
"""A step of the tables."""


def with_prices(problem: Problem, rng: random.Random) -> Problem:
    """The same at some prices: two for a CPU, and places for two whole devices that run out."""
    sizes = sorted({device.memory_gib for device in problem.devices})
    tables = tuple(Table(size, STEP, _rows(rng, size // STEP + 2)) for size in sizes)
    by_state = {d.state: sizes.index(d.memory_gib) for d in problem.devices}
    pairs = Places(2, 2, frozenset(range(len(sizes))))
    prices = Prices((0.0, 0.2), (0.0, 0.0), tables, (pairs,))
    return replace(problem, prices=NodePrices(prices, by_state, (rng.random(),), 1.0))


def _rows(rng: random.Random, count: int) -> tuple[tuple[float, ...], ...]:
    """What a device earns with more and more of it free; less where CPUs cost something."""
    free = cheap = 0.0
    rows = []
    for _ in range(count):
        more = rng.choice((0.0, 0.0, 0.05, 0.2))
        free += more
        cheap += more * rng.random()
        rows.append((free, cheap))
    return tuple(rows)


@dataclass(frozen=True)
class Ask:
    """A task on its own: what it asks, and w by device."""

    key: str
    slots: tuple[PSlot, ...]
    memory_gib: int
    groups: tuple[frozenset[int], ...]
    weights: dict[int, float]
    worths: tuple[float, ...] = ()
    uses: tuple[tuple[int, int], ...] = ()


def problem_of(
    nodes: Sequence[PNode],
    devices: Sequence[PDevice],
    asks: Sequence[Ask],
    budgets: tuple[PBudget, ...] = (),
) -> Problem:
    """A problem in which equal asks share a request, and weights are shared too."""
    tables: list[dict[int, float]] = []
    requests: list[PRequest] = []
    tasks: list[PTask] = []
    for ask in asks:
        if ask.weights not in tables:
            tables.append(ask.weights)
        request = PRequest(
            ask.slots, ask.memory_gib, ask.groups, tables.index(ask.weights), ask.worths
        )
        if request not in requests:
            requests.append(request)
        tasks.append(PTask(ask.key, requests.index(request), ask.uses))
    return Problem(
        tuple(nodes), tuple(devices), tuple(tasks), tuple(requests), tuple(tables), budgets
    )


def asks_of(problem: Problem) -> tuple[Ask, ...]:
    """The tasks of a problem, each on its own."""
    found = []
    for t, task in enumerate(problem.tasks):
        q = problem.request(t)
        weights = problem.weights[q.weights]
        found.append(Ask(task.key, q.slots, q.memory_gib, q.groups, weights, q.worths, task.uses))
    return tuple(found)


def with_asks(problem: Problem, *asks: Ask) -> Problem:
    """The same cluster, other tasks."""
    return problem_of(problem.nodes, problem.devices, asks, problem.budgets)


def trimmed(problem: Problem) -> Problem:
    """The same as a Problem is to be: requests have only what would fit if they were alone."""
    state = {node.state: node for node in problem.nodes}
    device = {d.state: d for d in problem.devices}

    def serves(ask: Ask, d: PDevice) -> bool:
        return d.memory_gib - d.used_gib >= ask.memory_gib if ask.memory_gib else d.whole

    asks = []
    for ask in asks_of(problem):
        slots = tuple(
            PSlot(slot.devices, {
                s: need for s, need in slot.need.items()
                if need.cpus <= state[s].cpus and need.memory_mib <= state[s].memory_mib
            })
            for slot in ask.slots
        )  # fmt: skip
        weights = {d: w for d, w in ask.weights.items() if d in device and serves(ask, device[d])}
        asks.append(replace(ask, slots=slots, weights=weights))
    return with_asks(problem, *asks)


Chosen = dict[int, tuple[SlotChoice, ...]]


def problems() -> st.SearchStrategy[Problem]:
    """At most 3 nodes of 3 devices and 4 tasks, with contention for every resource."""
    # Seeds and not draws: hypothesis' bias towards extremes starts almost nothing here.
    return st.integers(0, 2**32 - 1).map(lambda seed: random_problem(random.Random(seed)))


def random_problem(rng: random.Random) -> Problem:
    """One such problem."""
    nodes: list[PNode] = []
    devices: list[PDevice] = []
    for n in range(rng.choice((1, 2, 3, 3))):
        first = len(devices)
        for position in range(rng.choice((1, 2, 3, 3))):
            memory_gib = rng.choice((16, 40, 80))
            used = rng.choice((0, 0, 0, 0, 10, 16))
            whole = not used and rng.random() < 0.9
            devices.append(PDevice(n, position, memory_gib, used, whole, len(devices)))
        mine = tuple(range(first, len(devices)))
        cpus = rng.choice((4, 6, 8, 8, 0))
        nodes.append(PNode(f"n{n}", cpus, rng.choice((5000, 8000, 8000)), mine, n))
    tasks = [_task(rng, len(nodes), len(devices), t) for t in range(rng.choice((0, 1, 3, 4, 4)))]
    if len(tasks) > 1 and rng.random() < 0.3:  # identical tasks have rules of their own
        tasks[0] = replace(tasks[-1], key="twin")
    return trimmed(_with_budgets(rng, problem_of(nodes, devices, tasks)))


def _with_budgets(rng: random.Random, problem: Problem) -> Problem:
    """Half of the problems with one or two budgets that some tasks use."""
    budgets = tuple(
        PBudget(f"b{b}", rng.choice((0, 1, 2, 3))) for b in range(rng.choice((0, 1, 2)))
    )

    def uses() -> tuple[tuple[int, int], ...]:
        own = (b for b in range(len(budgets)) if rng.random() < 0.7)
        return tuple((b, rng.choice((1, 1, 2))) for b in own)

    if rng.random() < 0.5:
        return problem
    tasks = tuple(replace(task, uses=uses()) for task in problem.tasks)
    return replace(problem, tasks=tasks, budgets=budgets)


def _task(rng: random.Random, nodes: int, devices: int, t: int) -> Ask:
    def some() -> frozenset[int]:
        return frozenset(n for n in range(nodes) if rng.random() < 0.8) or frozenset({0})

    def need() -> Need:
        return Need(rng.choice((0, 1, 2, 3, 5)), rng.choice((0, 1000, 2500, 4000)))

    slots = tuple(
        PSlot(rng.choice((1, 1, 1, 2, 3)), {n: need() for n in some()})
        for _ in range(rng.choice((1, 1, 2)))
    )
    weights = {j: rng.randint(-4, 32) / 8 for j in range(devices) if rng.random() < 0.85}
    groups = tuple(some() for _ in range(rng.choice((1, 2, 3))))
    return Ask(
        f"{t}_{t}", slots, rng.choice((0, 8, 10, 24)), groups, weights, _worths(rng, slots, groups)
    )


def _worths(
    rng: random.Random, slots: tuple[PSlot, ...], groups: tuple[frozenset[int], ...]
) -> tuple[float, ...]:
    several = len(slots) > 1 and rng.random() < 0.5
    return tuple(rng.choice((0.0, 0.0, 0.5, 2.0)) for _ in groups) if several else ()


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
    for choices in _choices(problem, problem.request(wanted[0])):
        plan = {**sofar, wanted[0]: choices}
        if not violations(problem, Solution(starts=plan)):
            yield from _plans(problem, wanted[1:], plan)


def _choices(problem: Problem, task: PRequest) -> Iterator[tuple[SlotChoice, ...]]:
    per_slot = [
        [
            SlotChoice(n, devices)
            for n, node in enumerate(problem.nodes)
            if node.state in slot.need
            for devices in itertools.combinations(node.devices, slot.devices)
        ]
        for slot in task.slots
    ]
    return itertools.product(*per_slot)


def simple(nodes: int = 2, devices: int = 2, tasks: int = 1, memory_gib: int = 0) -> Problem:
    """Equal nodes of equal 80 GiB devices, and equal tasks for one device each."""
    cluster = [
        PNode(f"n{n}", 8, 8000, tuple(range(n * devices, (n + 1) * devices)), n)
        for n in range(nodes)
    ]
    cards = [
        PDevice(n, p, 80, 0, True, n * devices + p) for n in range(nodes) for p in range(devices)
    ]
    everywhere = frozenset(range(nodes))
    slot = PSlot(1, dict.fromkeys(everywhere, Need(1, 1000)))
    weights = dict.fromkeys(range(len(cards)), 1.0)
    queue = [Ask(f"{t}", (slot,), memory_gib, (everywhere,), weights) for t in range(tasks)]
    return problem_of(cluster, cards, queue)


def crowds() -> st.SearchStrategy[Problem]:
    """Small clusters with several nodes in each state, and several tasks of each request."""
    return st.integers(0, 2**32 - 1).map(lambda seed: random_crowd(random.Random(seed)))


def random_crowd(rng: random.Random) -> Problem:
    """One such problem: 2 states of 1 or 2 nodes with devices in 1 or 2 states, 4 or 5 tasks."""
    nodes: list[PNode] = []
    devices: list[PDevice] = []
    for s in range(2):
        cpus, host = rng.choice((4, 6, 8)), rng.choice((5000, 8000))
        sorts = [rng.choice(((80, 0), (80, 0), (80, 30), (40, 0), (40, 16))) for _ in range(2)]
        mine = [rng.choice((0, 0, 1)) for _ in range(rng.choice((1, 2, 3)))]
        for _ in range(rng.choice((1, 2))):
            first = len(devices)
            for position, sort in enumerate(mine):
                gib, used = sorts[sort]
                devices.append(PDevice(len(nodes), position, gib, used, not used, 2 * s + sort))
            indexes = tuple(range(first, len(devices)))
            nodes.append(PNode(f"n{len(nodes)}", cpus, host, indexes, s))
    asks: list[Ask] = []
    while len(asks) < rng.choice((4, 5)):
        both = frozenset({0, 1})
        need = {s: Need(rng.choice((0, 1, 2, 3)), rng.choice((0, 1000, 2500))) for s in both}
        slots = (PSlot(rng.choice((1, 1, 2)), need),) * rng.choice((1, 1, 1, 2))
        groups = rng.choice(((both,), (frozenset({0}), frozenset({1})), (both, frozenset({1}))))
        weights = {d: rng.randint(-4, 32) / 8 for d in range(4)}
        gib = rng.choice((0, 0, 10, 24, 40))
        ask = Ask("", slots, gib, groups, weights, _worths(rng, slots, groups))
        asks += [replace(ask, key=f"{len(asks) + i}") for i in range(rng.choice((1, 2, 3)))]
    return trimmed(_with_budgets(rng, problem_of(nodes, devices, asks[:5])))
