"""From what a site expects to prices, and what these make of a plan."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st

from slurm_het.core.assignment.first_fit import greedy
from slurm_het.core.cluster.inventory import Inventory
from slurm_het.core.model import Slot
from slurm_het.core.planner.build_problem import build
from slurm_het.core.planner.plan import plan
from slurm_het.core.policy import Weights
from slurm_het.core.worth.forecast import Forecast, appraised, forecast
from slurm_het.core.worth.pricing import by_class, evened, prices_now, question, usable
from slurm_het.core.worth.profiles import TaskProfile
from slurm_het.core.worth.weights import weight
from slurm_het.solve.fluid import solve_fluid
from tests.core.worth.test_forecast import A100, BOTH, EITHER, either
from tests.support.world import inventory, policy, running, task

NONE = Weights(scenario_fit=0, throughput=0, fragmentation=0, scarcity=0, preference=0)


def priced(
    weights: dict[TaskProfile, float], on: Inventory | None = None, certainty: float = 1.0
) -> Forecast:
    """The forecast with its prices."""
    known = replace(forecast(weights), certainty=certainty)
    return appraised(known, (on or inventory()).grid, partial(solve_fluid, seconds=10.0))


def test_shares_of_which_nobody_knows_the_size_ask_for_nothing() -> None:
    share = A100._replace(takes_share=True)
    made = evened({share: 1.0}, by_class(usable(inventory().grid)), 0.5)
    assert made == {share: 1.0}


def placed_on(weights: Weights, expected: Forecast) -> str:
    made = plan(inventory(), (either(),), replace(policy(), weights=weights), greedy, expected)
    return made.placements[0].types[0]


def test_flexible_tasks_stay_off_what_others_need() -> None:
    """Left to its speed the task goes to an A100; others will need those."""
    expected = priced({A100._replace(devices=8): 1.0, A100: 4.0})
    fast = policy().types["a100"].tflops > policy().types["l40s"].tflops
    drawn_to = replace(NONE, throughput=1) if fast else replace(NONE, scenario_fit=1)
    assert placed_on(drawn_to, expected) == "a100"
    assert placed_on(replace(drawn_to, fragmentation=2), expected) == "l40s"


def test_small_tasks_break_no_whole_node_that_is_due() -> None:
    busy = inventory(running(9, "nv2", "gpu:a100:1(IDX:0)"))
    expected = priced({A100._replace(devices=8): 1.0, A100: 8.0}, busy)
    made = plan(busy, (task("1"),), policy(), greedy, expected)
    assert made.placements[0].nodes == ("nv2",)


def asked_of(weights: Mapping[TaskProfile, float], there: Inventory) -> dict[str, float]:
    """How many devices of each type are asked for, for each that there is; all are bound to one."""
    devices = Counter(d.type for node in there.nodes.values() for d in node.devices)
    asked: dict[str, float] = defaultdict(float)
    for profile, count in weights.items():
        asked[profile.types[0]] += count * profile.devices * profile.nodes
    return {name: asked[name] / devices[name] for name in asked}


@pytest.mark.parametrize("certainty", [0.0, 0.5, 1.0])
def test_how_much_each_type_is_asked_for_is_believed_as_far_as_it_is_known(
    certainty: float,
) -> None:
    there, l40s = inventory(), A100._replace(types=("l40s",), pools=BOTH)
    weights = {A100: 6.0, A100._replace(devices=8): 2.0, l40s: 0.1}
    made = evened(weights, by_class(usable(there.grid)), certainty)
    before, after = asked_of(weights, there), asked_of(made, there)
    assert made[A100] / made[A100._replace(devices=8)] == pytest.approx(3.0)
    apart = after["a100"] - after["l40s"]
    assert apart == pytest.approx(certainty * (before["a100"] - before["l40s"]))


def test_a_young_journal_keeps_nobody_off_the_type_that_was_asked_for_so_far() -> None:
    """Hours of A100 jobs alone do not send who is flexible to the L40S, twenty weeks of them do."""
    weights = {A100: 40.0, A100._replace(types=("l40s",), pools=BOTH): 0.01}
    drawn_to = replace(NONE, throughput=1, fragmentation=2)
    drawn = replace(policy(), weights=drawn_to, throughput={"training": {"a100": 1, "l40s": 0.8}})
    for weeks, chosen in ((0.1, "a100"), (20.0, "l40s")):
        expected = priced(weights, certainty=weeks / (weeks + 1))
        made = plan(inventory(), (either(),), drawn, greedy, expected)
        assert made.placements[0].types[0] == chosen


def test_places_cost_the_more_the_fewer_there_are() -> None:
    expected = priced({A100._replace(devices=8): 1.0, A100: 40.0})
    assert expected.appraisal
    few = inventory(running(9, "nv1", "gpu:a100:1(IDX:0)"))
    then = prices_now(expected.appraisal, inventory().grid, 1.0)
    now = prices_now(expected.appraisal, few.grid, 1.0)
    assert 0 < then.scarce[0] < now.scarce[0]


def test_the_only_nodes_that_are_large_enough_are_kept_for_those_that_need_them() -> None:
    """An A100 node with as many CPUs as no other has."""
    there = inventory()
    large = there.nodes["nv2"]
    there.nodes["nv2"] = replace(large, cpus=2 * large.cpus, cpus_free=2 * large.cpus)
    hungry = A100._replace(devices=2, cpus=2 * large.cpus)
    expected = priced({hungry: 8.0, A100: 8.0}, there)
    for order in (("nv1", "nv2"), ("nv2", "nv1")):
        nodes = {name: there.nodes[name] for name in order}
        made = plan(Inventory(nodes), (task("1"),), policy(), greedy, expected)
        assert made.placements[0].nodes == ("nv1",)


def test_the_term_is_named_in_the_plan_and_counts_as_it_is_weighted() -> None:
    expected = priced({A100._replace(devices=8): 1.0, A100: 4.0})
    made = plan(inventory(), (task("1"),), policy(), greedy, expected)
    once = made.placements[0].terms["fragmentation"]
    assert -2 * policy().weights.fragmentation <= once < 0
    twice = replace(policy().weights, fragmentation=2 * policy().weights.fragmentation)
    again = plan(inventory(), (task("1"),), replace(policy(), weights=twice), greedy, expected)
    assert again.placements[0].terms["fragmentation"] == pytest.approx(2 * once, abs=1e-3)


def test_the_problem_has_the_weights_that_why_shows() -> None:
    """Tasks told apart by their CPUs share their weights; the rest is the prices' to say."""
    few, many = either("1"), either("2", slots=(Slot(1, 6, 10),))
    for expected in (Forecast(), priced({EITHER: 1.0, A100: 1.0})):
        built = build(inventory(), (few, many), policy(), expected)
        assert len(built.problem.weights) == 1
        assert bool(built.problem.prices) == bool(expected)
        for t, what in enumerate(built.tasks):
            for j, device in enumerate(built.problem.devices):
                if device.state in built.problem.weights[built.problem.request(t).weights]:
                    node = built.nodes[device.node]
                    w = weight(what, built.device(j), node, built.site)
                    assert built.problem.weight(t, j) == pytest.approx(w)


def test_nothing_that_can_go_nowhere_is_asked() -> None:
    assert question({TaskProfile(("h100",), BOTH): 1.0}, inventory().grid) is None
    assert question({}, inventory().grid) is None
    nothing = EITHER._replace(takes_share=True)  # of a device
    assert question({nothing: 1.0}, inventory().grid) is None


def test_devices_of_unknown_memory_have_prices_too() -> None:
    there = inventory()
    for name, node in [(n, node) for n, node in there.nodes.items() if n.startswith("l40s")]:
        devices = tuple(replace(device, memory_gib=0) for device in node.devices)
        there.nodes[name] = replace(node, devices=devices)
    expected = priced({EITHER: 1.0}, there)
    assert expected.appraisal
    assert plan(there, (either(),), policy(), greedy, expected).placements


profiles = st.builds(
    TaskProfile, st.sampled_from([("a100",), ("l40s",), ("a100", "l40s"), ()]),
    st.sampled_from([BOTH, ("train-nv",), ()]), st.integers(0, 9), st.integers(1, 3),
    st.integers(0, 99), st.booleans(), st.integers(1, 200), st.integers(0, 600_000),
)  # fmt: skip


@settings(max_examples=15, deadline=None)
@drawn(
    st.dictionaries(profiles, st.floats(0.01, 1e6), max_size=8),
    st.integers(1, 8),
    st.integers(0, 40),
    st.sampled_from([0.0, 0.3, 1.0]),
)
def test_whatever_is_expected_tasks_are_placed_and_the_term_keeps_its_bounds(
    weights: dict[TaskProfile, float], devices: int, gib: int, certainty: float
) -> None:
    fields: dict[str, Any] = {"slots": (Slot(devices, 1, 1),), "memory_gib": gib}
    share: dict[str, Any] = {
        "slots": (Slot(1, 1, 1),),
        "memory_gib": max(1, gib),
        "takes_share": True,
    }
    tasks = (either("1", **fields), either("2", **share))
    expected = priced(weights, certainty=certainty)
    made = plan(inventory(), tasks, policy(), greedy, expected)
    alone = plan(inventory(), tasks, policy(), greedy)
    assert {p.key for p in made.placements} == {p.key for p in alone.placements}
    for placement in made.placements:
        most = 2 * policy().weights.fragmentation
        assert -most <= placement.terms["fragmentation"] <= 0
