"""The value of a node to the tasks to be expected, and what a placement costs them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slurm_het.core.assignment.first_fit import greedy
from slurm_het.core.assignment.fluid import DeviceSort, Fluid, Kind, NodeGroup, Sacks, Tables
from slurm_het.core.assignment.prices import (
    Load,
    NodePrices,
    Places,
    Prices,
    Room,
    at_least,
)
from slurm_het.core.assignment.problem import (
    Need,
    PDevice,
    PNode,
    PRequest,
    Problem,
    PSlot,
    PTask,
    SlotChoice,
)
from slurm_het.core.assignment.remaining import Remaining
from slurm_het.solve.fluid import solve_fluid

GIB, CPUS, MIB = 12, 16, 64
ON = frozenset({0})
kinds = st.builds(
    Kind, st.integers(1, 3), st.sampled_from([0, 3, 4, 6, 9]), st.integers(0, 8),
    st.integers(0, 40), st.floats(0.05, 3.0), st.floats(0.0, 20.0), st.just(ON),
)  # fmt: skip
several_kinds = st.lists(kinds, min_size=1, max_size=4)
frees = st.lists(st.sampled_from([0, 3, 6, 9, GIB]), min_size=1, max_size=3)


def fluid(some: list[Kind], free: list[int] | None = None) -> Fluid:
    """The program of these kinds on one sort of devices."""
    rows = tuple((0, gib, gib == GIB, 1) for gib in free or [GIB] * 4)
    return Fluid(
        tuple(some), (DeviceSort(GIB, CPUS, MIB, 4),), (NodeGroup(CPUS, MIB, rows),), 0,
        (4.0, 1.0, 0.05), (0.0, 0.02, 0.1, 0.4, 0.0), (0.0, 0.0, 0.0, 0.0, 0.02),
        (Places(2, 4, ON),),
    )  # fmt: skip


def tables_at(some: list[Kind], *alphas: list[float]) -> Prices:
    """The prices where the kinds cost so much."""
    program = fluid(some)
    made = Tables(program, Sacks(program))
    for alpha in alphas:
        made.add(alpha)
    return made.prices()


def room(prices: Prices, cpus: int, memory_mib: int, free: list[int]) -> Room:
    """A node with so much free; a device with all of it may be taken whole."""
    table = prices.tables[0]
    return Room(cpus, memory_mib, tuple(sorted((0, table.row(f, f == GIB)) for f in free)))


def fillings(
    some: list[Kind], nets: list[float], cpus: int, memory: int, free: tuple[int, ...]
) -> float:
    """The most that any set of tasks nets on a node, by trying them all."""
    best = 0.0
    for kind, net in zip(some, nets, strict=True):
        if kind.cpus > cpus or kind.memory_mib > memory or net <= 0:
            continue
        for left in _ways(kind, free):
            rest = fillings(some, nets, cpus - kind.cpus, memory - kind.memory_mib, left)
            best = max(best, net + rest)
    return best


def _ways(kind: Kind, free: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    able = [d for d, f in enumerate(free) if (f >= kind.gib if kind.gib else f == GIB)]
    seen = set()
    for chosen in combinations(able, kind.devices):
        left = tuple(sorted(f - (kind.gib or f) if d in chosen else f for d, f in enumerate(free)))
        if left not in seen:
            seen.add(left)
            yield left


@settings(max_examples=60, deadline=None)
@given(several_kinds, frees, st.integers(0, CPUS), st.integers(0, MIB), st.data())
def test_no_filling_of_a_node_is_worth_more_than_the_node(
    some: list[Kind], free: list[int], cpus: int, memory: int, data: st.DataObject
) -> None:
    costs = st.lists(st.floats(0.0, 1.5), min_size=len(some), max_size=len(some))
    alphas = [data.draw(costs), data.draw(costs)]
    prices = tables_at(some, *alphas)
    nets = [kind.earns - sum(a[i] for a in alphas) / 2 for i, kind in enumerate(some)]
    bound = prices.value(*room(prices, cpus, memory, free))
    assert fillings(some, nets, cpus, memory, tuple(sorted(free))) <= bound + 1e-9


@settings(max_examples=60, deadline=None)
@given(several_kinds, frees, st.integers(0, CPUS), st.data())
def test_placing_something_never_makes_a_node_more_valuable(
    some: list[Kind], free: list[int], cpus: int, data: st.DataObject
) -> None:
    prices = tables_at(some, [0.0] * len(some))
    before = prices.value(*room(prices, cpus, MIB, free))
    kind = data.draw(st.sampled_from(some))
    for left in _ways(kind, tuple(free)):
        if kind.cpus <= cpus:
            after = room(prices, cpus - kind.cpus, MIB - kind.memory_mib, list(left))
            assert prices.value(*after) <= before + 1e-12
    asked = Load(1, 3, 0, 0)
    here = room(prices, cpus, MIB, free)
    for place in set(here.devices):
        if place[1] >= 1:
            assert prices.loss(asked, here, (place,)).fall >= 0


def test_equal_nodes_cost_the_same_whatever_the_order_of_their_devices() -> None:
    some = [Kind(1, 3, 1, 0, 0.25, 9.0, ON), Kind(2, 0, 8, 0, 2.0, 2.0, ON)]
    prices = tables_at(some, [0.1, 0.5])
    one, other = room(prices, 8, 0, [3, 12, 9]), room(prices, 8, 0, [12, 9, 3])
    assert one == other
    now = NodePrices(prices, {0: 0}, (0.5,), 1.0)
    taken = (one.devices[0],)
    assert now.cost(Load(1, 3, 2, 0), one, taken) == now.cost(Load(1, 3, 2, 0), other, taken)


def test_twice_the_room_is_worth_twice_as_much() -> None:
    some = [
        Kind(1, 3, 1, 0, 0.25, 9.0, ON), Kind(2, 0, 8, 0, 2.0, 2.0, ON),
        Kind(1, 4, 2, 8, 1 / 3, 4.0, ON), Kind(1, 0, 3, 8, 1.0, 4.0, ON),
    ]  # fmt: skip
    once = fluid(some, [GIB, GIB, 6, 3])
    cpu, mib = (tuple(2 * x for x in prices) for prices in (once.cpus, once.memory))
    rows = tuple((c, 2 * free, whole, n) for c, free, whole, n in once.groups[0].rows)
    twice = replace(
        once,
        kinds=tuple(k._replace(gib=2 * k.gib, earns=2 * k.earns) for k in some),
        sorts=(once.sorts[0]._replace(memory_gib=2 * GIB),),
        groups=(once.groups[0]._replace(rows=rows),),
        beside=(4.0, 1.0, 0.1), cpus=cpu, memory=mib,
    )  # fmt: skip
    one, two = solve_fluid(once, 10.0), solve_fluid(twice, 10.0)
    assert one
    assert two
    for low, high in zip(one.tables[0].rows, two.tables[0].rows, strict=True):
        assert [2 * x for x in low] == pytest.approx(list(high), abs=1e-6)
    assert any(x > 0 for x in one.tables[0].rows[-1])


def test_a_share_breaks_no_whole_device_that_others_need() -> None:
    """And none that has no CPUs left for it draws what needs some."""
    some = [Kind(1, 3, 1, 0, 0.25, 40.0, ON), Kind(1, 0, 4, 0, 1.0, 40.0, ON)]
    prices = solve_fluid(fluid(some, [GIB] * 4), 10.0)
    assert prices
    here = room(prices, 8, 0, [6, GIB])
    broken, whole = here.devices
    asked = Load(1, 3, 1, 0)
    assert prices.loss(asked, here, (broken,)).fall < prices.loss(asked, here, (whole,)).fall
    poor = room(prices, 0, 0, [GIB, GIB])
    rich = room(prices, 16, 0, [GIB, GIB])
    assert prices.value(*poor) < prices.value(*rich)


def test_one_kind_and_forty_that_hardly_differ_have_the_same_prices() -> None:
    """The rounds end the program, however many kinds have one size."""
    parts = 40
    one = [Kind(1, 3, 1, 0, 0.25, 12.0, ON), Kind(1, 6, 2, 0, 0.5, 4.0, ON)]
    many = [
        kind._replace(expected=kind.expected / parts, memory_mib=n % 3, earns=kind.earns + n * 1e-6)
        for kind in one
        for n in range(parts)
    ]
    room = [GIB] * 4 + [9, 6, 3]
    few, split = (solve_fluid(fluid(kinds, room), 10.0) for kinds in (one, many))
    assert few
    assert split
    for low, high in zip(few.tables[0].rows, split.tables[0].rows, strict=True):
        assert list(low) == pytest.approx(list(high), abs=0.05)


def test_a_full_cluster_has_no_prices_and_the_solver_is_not_asked(
    caplog: pytest.LogCaptureFixture,
) -> None:
    some = replace(fluid([Kind(1, 3, 1, 0, 0.25, 40.0, ON)], [2, 2]), beside=(0.0, 0.0, 0.0))
    assert solve_fluid(some, 10.0) is None, "no task fits what is left"
    assert solve_fluid(replace(some, groups=(NodeGroup(0, 0, ()),)), 10.0) is None
    assert not caplog.records, "a model without variables"


def test_places_have_a_price_before_they_run_out() -> None:
    prices = tables_at([Kind(1, 3, 1, 0, 0.25, 9.0, ON)], [0.25])
    here = room(prices, 16, 0, [3, GIB, GIB])
    loss = prices.loss(Load(1, 3, 0, 0), here, (here.devices[-1],))
    assert loss.places == ((0, 1),)
    assert prices.loss(Load(1, 3, 0, 0), here, (here.devices[0],)).places == ()
    assert at_least(2.0, 20) < 1e-6 < at_least(2.0, 3) < at_least(2.0, 1) < at_least(2.0, 0) == 1
    assert at_least(1000.0, 900) > 0.99 > at_least(1000.0, 1100)
    assert at_least(0.0, 1) == 0


def one_pool(
    prices: Prices, free: list[list[int]], slot: int, gib: int, weights: dict[int, float]
) -> Problem:
    """One task on one pool: a node for each list of what its devices have free."""
    devices: list[PDevice] = []
    nodes: list[PNode] = []
    tables: dict[int, int] = {}
    for n, mine in enumerate(free):
        first = len(devices)
        for d, f in enumerate(mine):
            state = len(devices)
            devices.append(PDevice(n, d, GIB, GIB - f, f == GIB, state))
            tables[state] = 0
        nodes.append(PNode(f"n{n}", 8, 0, tuple(range(first, len(devices))), n))
    able = {
        d.state: weights.get(d.state, 0.0)
        for d in devices
        if (d.free_gib >= gib if gib else d.whole)
    }
    need = {n: Need(2, 0) for n in range(len(free))}
    request = PRequest((PSlot(slot, need),), gib, (frozenset(need),), 0)
    now = NodePrices(prices, tables, (0.7,), 2.0)
    return Problem(tuple(nodes), tuple(devices), (PTask("t", 0),), (request,), (able,), (), now)


@settings(max_examples=40, deadline=None)
@given(
    several_kinds, st.lists(frees, min_size=1, max_size=3), st.integers(1, 2),
    st.sampled_from([0, 3, 4]), st.lists(st.floats(-1, 1), min_size=9, max_size=9),
)  # fmt: skip
def test_one_task_on_one_pool_is_the_method_as_it_was_published(
    some: list[Kind], free: list[list[int]], slot: int, gib: int, extra: list[float]
) -> None:
    """Maximise sum w_j x_j over x in {0, 1} with sum x_j = n and U_j + r <= M_j: the weight of a
    device has what it takes from others as one of its terms."""
    slot = 1 if gib else slot
    # Of the devices of one node Slurm takes the first that serves.
    free = free if slot > 1 else [[f] for mine in free for f in mine]
    prices = tables_at(some, [0.0] * len(some))
    # Of several whole devices of a node none is unlike the others.
    weights = {} if slot > 1 else dict(enumerate(extra))
    problem = one_pool(prices, free, slot, gib, weights)
    request, remaining = problem.requests[0], Remaining(problem)
    able = [j for j, d in enumerate(problem.devices) if d.state in problem.weights[0]]

    def w(chosen: tuple[int, ...]) -> float:
        n = problem.devices[chosen[0]].node
        term = remaining.term(request, SlotChoice(n, chosen))
        return sum(problem.weights[0][problem.devices[j].state] + term for j in chosen)

    sets = [
        chosen
        for chosen in combinations(able, slot)
        if len({problem.devices[j].node for j in chosen}) == 1
    ]
    starts = greedy(problem).starts
    assert bool(starts) == bool(sets)
    if starts:
        assert w(starts[0][0].devices) == pytest.approx(max(map(w, sets)))


def test_prices_survive_the_way_to_the_worker() -> None:
    prices = tables_at([Kind(1, 3, 1, 0, 0.25, 9.0, ON)], [0.1])
    assert prices.value(*room(prices, 4, 4, [3, 6])) > 0, "and so it has something in memory"
    problem = one_pool(prices, [[3, GIB], [6]], 1, 3, {})
    back = msgspec.msgpack.decode(msgspec.msgpack.encode(problem), type=Problem)
    assert back == problem
    assert greedy(back).starts == greedy(problem).starts
