"""The jobs a site expects, and what they make of the weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given as drawn
from hypothesis import strategies as st

from slurm_het.config import parse_config
from slurm_het.core.assignment.first_fit import greedy
from slurm_het.core.cluster.device_class import device_class_of, offer_of
from slurm_het.core.cluster.inventory import Inventory
from slurm_het.core.model import Device, Node, Slot, Task
from slurm_het.core.planner.plan import plan
from slurm_het.core.policy import Weights
from slurm_het.core.worth.forecast import (
    BESIDE_MOST,
    MOST,
    Forecast,
    forecast,
    given,
)
from slurm_het.core.worth.profiles import TaskProfile, profile_of
from slurm_het.errors import ConfigError
from slurm_het.journal import Journal
from tests.support.world import inventory, policy, running, task

BOTH = ("infer-nv", "train-nv")
A100 = TaskProfile(("a100",), ("train-nv",))
EITHER = TaskProfile(("a100", "l40s"), BOTH)
BESIDE = TaskProfile(("a100", "l40s"), BOTH, 0, memory_mib=1024)


def either(key: str = "1", **fields: Any) -> Task:
    """A task that may use an A100 or an L40S."""
    return task(key, types=frozenset({"a100", "l40s"}), pools=BOTH, **fields)


def device_of(name: str, position: int = 0, on: Inventory | None = None) -> tuple[Device, Node]:
    """A device and its node."""
    node = (on or inventory()).nodes[name]
    return node.devices[position], node


def price(of: Forecast, what: Task, where: tuple[Device, Node]) -> float:
    """The price of putting a task on a device."""
    return of.price(what, offer_of(*where))


def claim(of: Forecast, what: Task, name: str) -> float:
    """The claim on devices of the class that a node has."""
    return of.claim(what, device_class_of(*device_of(name)))


def test_what_a_task_asks() -> None:
    asked = profile_of(either(slots=(Slot(1, 2, 10), Slot(4, 8, 20)), memory_gib=40))
    assert asked == TaskProfile(("a100", "l40s"), BOTH, 4, 2, 40, False, 8, 20)
    assert profile_of(either("2", user="eve", priority=3)) == profile_of(either())


def test_flexible_tasks_are_told_what_others_need() -> None:
    expected = forecast({A100: 1.0}, inventory())
    assert claim(expected, either(), "nv1") == 1.0
    assert claim(expected, either(), "l40s1") == 0.0
    assert claim(expected, task("2"), "nv1") == 0.0, "it has no alternative either"
    some = forecast({A100: 1.0, EITHER: 9.0}, inventory())
    assert 0 < claim(some, either(), "nv1") < 1
    assert claim(forecast({EITHER: 1.0}, inventory()), either(), "nv1") == 0.0


def test_nothing_known_says_nothing() -> None:
    assert not forecast({}, inventory())
    assert not Forecast()


def test_a_type_that_the_cluster_has_not_is_no_claim() -> None:
    expected = forecast({TaskProfile(("h100",), ("train-nv",)): 5.0, A100: 1.0}, inventory())
    assert claim(expected, either(), "nv1") == 1.0


def test_many_profiles_are_cut_to_the_heaviest() -> None:
    weights = {A100._replace(cpus=n): float(n) for n in range(2 * MOST)}
    kept = forecast(weights, inventory()).weights
    assert len(kept) == MOST
    assert min(kept.values()) == MOST


def test_jobs_without_devices_crowd_nothing_out(tmp_path: Path) -> None:
    """However many sizes they have and however long they are: profiles with devices stay."""
    beside = {BESIDE._replace(memory_mib=n): 1000.0 + n for n in range(2 * MOST)}
    kept = forecast({**beside, A100._replace(devices=8): 1.0}, inventory()).weights
    assert A100._replace(devices=8) in kept
    assert len(kept) == BESIDE_MOST + 1
    journal = Journal(tmp_path / "journal.db")
    journal.add_demands(100.0, beside)
    journal.record_demands(100.0, [("1", A100, 1.0)])
    assert A100 in journal.demands(0.0)
    assert len(journal.demands(0.0)) == MOST + 1
    journal.close()


def test_the_price_of_pieces_knows_no_sizes_without_devices() -> None:
    """They can use no device, whatever they ask: many of them are as one."""
    few = {BESIDE: 100.0, A100._replace(devices=8): 1.0}
    many = {BESIDE._replace(cpus=n): 1.0 for n in range(1, 1 + BESIDE_MOST)}
    many[BESIDE._replace(cpus=1000)] = 100.0 - BESIDE_MOST
    many[A100._replace(devices=8)] = 1.0
    one, other = (forecast(weights, inventory()) for weights in (few, many))
    asked, here = task("1"), device_of("nv1")
    assert price(one, asked, here) == pytest.approx(price(other, asked, here), abs=1e-3)
    assert price(one, asked, here) > -1 / 2


def test_the_price_of_a_broken_node() -> None:
    """Whole-node jobs are expected: an idle node is dear, a broken one costs nobody anything."""
    busy = inventory(running(9, "nv2", "gpu:a100:1(IDX:0)"))
    expected = forecast({A100._replace(devices=8): 1.0}, busy)
    assert price(expected, task("1"), device_of("nv1", on=busy)) == 7 / 8
    assert price(expected, task("1"), device_of("nv2", 1, on=busy)) == -1 / 2
    small = forecast({A100: 1.0}, busy)
    assert price(small, task("1"), device_of("nv1", on=busy)) == 0.0


def test_the_price_of_a_share() -> None:
    """24 GiB of an L40S (48): the rest suits others of 24 GiB, not those of 32."""
    share: dict[str, Any] = {
        "types": frozenset({"l40s"}),
        "pools": ("infer-nv",),
        "takes_share": True,
    }
    asked = task("1", memory_gib=24, **share)
    base = TaskProfile(("l40s",), ("infer-nv",), 1, 1, 24, True)
    here = device_of("l40s1")
    assert price(forecast({base: 1.0}, inventory()), asked, here) == 0.0
    assert price(forecast({base._replace(memory_gib=32): 1.0}, inventory()), asked, here) == 1 / 2


@drawn(
    st.dictionaries(
        st.builds(
            TaskProfile,
            st.sampled_from([("a100",), ("l40s",), ("a100", "l40s"), ()]),
            st.sampled_from([BOTH, ("train-nv",), ()]),
            st.integers(0, 9), st.integers(1, 3), st.integers(0, 99), st.booleans(),
            st.integers(1, 200), st.integers(0, 600_000),
        ),
        st.floats(0, 1e9), max_size=8,
    ),
    st.sampled_from(["nv1", "l40s1"]), st.integers(1, 8), st.integers(0, 40),
)  # fmt: skip
def test_terms_stay_within_their_bounds(
    weights: dict[TaskProfile, float], name: str, devices: int, gib: int
) -> None:
    expected = forecast(weights, inventory())
    device, node = device_of(name)
    for shared in (False, True):
        asked = either(slots=(Slot(1 if shared else devices, 1, 1),), memory_gib=gib or 1,
                       takes_share=shared)  # fmt: skip
        assert 0 <= expected.claim(asked, device_class_of(device, node)) <= 1
        if weights:
            assert -1 <= price(expected, asked, (device, node)) <= 1


def placed_on(weights: Weights, expected: Forecast) -> str:
    made = plan(inventory(), (either(),), replace(policy(), weights=weights), greedy, expected)
    return made.placements[0].types[0]


def test_each_term_can_be_switched_off() -> None:
    """Left to its speed the task goes to an A100; others will need those."""
    none = Weights(scenario_fit=0, throughput=0, fragmentation=0, quota=0, scarcity=0, preference=0)
    expected = forecast({A100._replace(devices=8): 1.0}, inventory())
    fast = policy().types["a100"].tflops > policy().types["l40s"].tflops
    drawn_to = replace(none, throughput=1) if fast else replace(none, scenario_fit=1)
    assert placed_on(drawn_to, expected) == "a100"
    assert placed_on(replace(drawn_to, quota=2), expected) == "l40s"
    assert placed_on(replace(drawn_to, fragmentation=2), expected) == "l40s"
    assert placed_on(replace(drawn_to, quota=2), Forecast()) == "a100"


def test_terms_are_named_in_the_plan() -> None:
    expected = forecast({A100: 1.0}, inventory())
    made = plan(inventory(), (either(),), policy(), greedy, expected)
    assert made.placements[0].terms.keys() >= {"fragmentation", "quota"}


CONFIG = """
intake_partition: accel
pools: {train-nv: {scenario: training, vendors: [nvidia]}}
expected_jobs:
  - {share: 3, devices: 8, types: [a100]}
  - {share: 1, memory_gib: 10, shared: true}
"""


def test_given_in_the_config() -> None:
    weights = given(parse_config(CONFIG).policy)
    assert weights[TaskProfile(("a100",), ("train-nv",), 8)] == 3 / 8
    assert len(weights) == 2


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{share: 1, types: [a10O]}", ["expected_jobs[0].types", "a100"]),
        ("{share: 1, pools: [train]}", ["expected_jobs[0].pools", "train-nv"]),
        ("{share: 0}", ["expected_jobs[0].share", "more than 0"]),
        ("{share: 1, shared: true}", ["expected_jobs[0].memory_gib"]),
        ("{devices: 1}", ["share"]),
    ],
)
def test_mistakes_in_the_config_are_named(line: str, words: list[str]) -> None:
    text = CONFIG.split("  - {share: 3", maxsplit=1)[0] + f"  - {line}\n"
    with pytest.raises(ConfigError) as caught:
        parse_config(text)
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_the_journal_learns_what_is_asked(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.db")
    journal.record_demands(100.0, [("1", A100, 60), ("2", A100, 30), ("3", EITHER, 10)])
    journal.record_demands(200.0, [("1", A100, 60)])
    assert journal.demands(0.0) == {A100: 90.0, EITHER: 10.0}
    assert journal.demands(150.0) == {A100: 60.0}
    journal.close()
