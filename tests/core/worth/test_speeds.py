"""Speeds that are learned: how certain they are, what they correct, and who goes by them."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slurm_het.core.assignment.first_fit import greedy
from slurm_het.core.cluster.device_class import device_class_of
from slurm_het.core.jobs.paces import Pace, Paces, speeds_of, timing_of_paces
from slurm_het.core.model import Slot, Task
from slurm_het.core.planner.plan import plan
from slurm_het.core.worth.forecast import Forecast
from slurm_het.core.worth.speeds import (
    LEAST_RUNS,
    PastRun,
    Timing,
    TypeTimes,
    classed,
    row_of,
)
from slurm_het.core.worth.weights import class_terms, site_of, throughput
from tests.support.world import inventory, policy, task

TYPES = ("a100", "mi300x", "910b")
MEANS = st.dictionaries(
    st.sampled_from(TYPES),
    st.builds(TypeTimes, st.integers(LEAST_RUNS, 50), st.floats(-9, 9)),
    max_size=3,
)
TIMINGS = st.builds(Timing, MEANS, st.floats(0.01, 4))
PROMISED = {"a100": 0.3, "mi300x": 1.0, "910b": 0.3}


def paces(**seconds: list[int]) -> list[Pace]:
    """A program's paces on one device, by type."""
    return [
        Pace("ann", "p", name, 1, runs=tuple(PastRun(s, 0, True) for s in those))
        for name, those in seconds.items()
    ]


def asks(**fields: object) -> Task:
    """A task of the program that may use two types."""
    both = {"types": frozenset(TYPES[:2]), "pools": ("train-nv", "train-amd"), "program": "p"}
    return task("1", **(both | fields))


FAST_A100 = paces(a100=[100] * 8, mi300x=[1000] * 8)


@given(TIMINGS)
def test_corrections_cancel_out_and_say_less_than_was_measured(timing: Timing) -> None:
    """They say how types differ from what they promise, not how fast the program is: weighed by
    their certainty their logarithms are 0 in the mean. And each is shrunk to 1."""
    corrections = timing.corrections(PROMISED)
    assert set(corrections) == set(timing.samples)
    known = list(timing.samples)
    for name in known:
        for other in known:
            measured = math.log(timing.ratio(name, other) * PROMISED[other] / PROMISED[name])
            if timing.samples[name].runs == timing.samples[other].runs:
                said = math.log(corrections[name] / corrections[other])
                assert abs(said) <= abs(measured) + 1e-9
                assert said * measured >= -1e-9
    if len(known) == 1:
        assert corrections[known[0]] == pytest.approx(1.0)


@given(TIMINGS, st.floats(0.1, 10))
def test_corrections_do_not_hang_on_the_unit_of_speeds_or_times(
    timing: Timing, factor: float
) -> None:
    scaled = {name: speed * factor for name, speed in PROMISED.items()}
    later = {name: s._replace(mean=s.mean + math.log(factor)) for name, s in timing.samples.items()}
    before = timing.corrections(PROMISED)
    assert timing.corrections(scaled) == pytest.approx(before)
    assert replace(timing, samples=later).corrections(PROMISED) == pytest.approx(before)


def test_more_runs_are_shrunk_less_until_what_was_measured_is_what_counts() -> None:
    ratios = []
    for runs in (3, 10, 100, 10_000):
        timing = Timing({"a100": TypeTimes(runs, 0.0), "mi300x": TypeTimes(runs, 2.0)}, 0.3)
        made = timing.corrections({"a100": 1.0, "mi300x": 1.0})
        ratios.append(math.log(made["a100"] / made["mi300x"]))
    assert ratios == sorted(ratios)
    assert ratios[0] > 1.0
    assert ratios[-1] == pytest.approx(2.0, rel=0.01)


@pytest.mark.parametrize(
    ("seconds", "certain"),
    [
        ({}, False),
        ({"a100": [60] * 12}, False),
        ({"a100": [60] * 12, "mi300x": [60] * 2}, False),
        ({"a100": [60] * 3, "mi300x": [90] * 3}, True),
        ({"a100": [60, 600, 6000] * 2, "mi300x": [90, 9, 900] * 2}, False),
    ],
)
def test_certain_is_what_enough_runs_on_two_types_agree_on(
    seconds: dict[str, list[int]], certain: bool
) -> None:
    assert timing_of_paces(paces(**seconds)).certain == certain


def test_who_asks_for_more_time_when_there_is_more_to_do_is_understood() -> None:
    """The program is twice as fast on one type. Its work differs by a factor of fifty, which the
    limits tell."""
    rng = random.Random(1)

    def runs(speed: float) -> tuple[PastRun, ...]:
        works = [rng.uniform(100, 5000) for _ in range(12)]
        return tuple(
            PastRun(int(w / speed), int(3 * w * rng.uniform(0.8, 1.2)), True) for w in works
        )

    timing = timing_of_paces(
        [Pace("a", "p", "x", 1, runs=runs(1)), Pace("a", "p", "y", 1, runs=runs(2))]
    )
    assert timing.certain
    assert timing.ratio("y", than="x") == pytest.approx(2, rel=0.2)


def test_runs_that_do_not_compare_say_nothing_of_types() -> None:
    told = [Pace("ann", "p", "a100", 1, runs=(PastRun(5, 9, False),) * 12), *FAST_A100[1:]]
    assert set(timing_of_paces(told).samples) == {"mi300x"}


def test_speeds_are_those_of_the_same_user_program_and_number_of_devices() -> None:
    known = Paces(FAST_A100)
    mine, row = asks(), row_of("ann", "p", 1)
    others = (
        asks(user="bob"), asks(program="q"), asks(program=""), asks(job_class="resnet"),
        asks(slots=(Slot(2, 1, 1),)), asks(takes_share=True),
    )  # fmt: skip
    assert set(speeds_of((mine, *others), known)) == {row}
    speeds = speeds_of((mine,), known)
    assert [t.job_class for t in classed((mine, *others), speeds, 9)] == [
        row, "", "", "", "resnet", "", ""
    ]  # fmt: skip
    assert classed(others, {}, 9) == others
    assert classed((mine,), speeds, 0) == (mine,)


def test_a_program_goes_where_its_runs_were_fast_and_the_admins_word_counts_more() -> None:
    """A MI300X promises more than an A100."""
    free, site = inventory(), policy()
    row = row_of("ann", "p", 1)

    def where(expected: Forecast, **fields: object) -> tuple[str, ...]:
        only = replace(site, weights=replace(site.weights, scarcity=0, scenario_fit=0))
        only = replace(only, throughput={"resnet": {"a100": 0.1, "mi300x": 1.0}})
        return plan(free, (asks(**fields),), only, greedy, expected).placements[0].types

    learned = Forecast(speeds=speeds_of((asks(),), Paces(FAST_A100)))
    assert where(Forecast()) == ("mi300x",)
    assert where(learned) == ("a100",)
    assert where(learned, user="bob") == ("mi300x",)
    assert where(learned, job_class="resnet") == ("mi300x",)
    terms = site_of(free, site, learned)
    speeds = {
        device.type: throughput(asks(job_class=row), device_class_of(device, node), terms)
        for node in free.nodes.values()
        for device in node.devices
    }
    assert max(speeds.values()) == 1.0
    assert min(speeds.values()) >= 0.0
    assert speeds["a100"] > 2 * speeds["mi300x"]


@given(TIMINGS)
def test_whatever_is_learned_the_term_stays_within_its_bounds(timing: Timing) -> None:
    free = inventory()
    site = site_of(free, policy(), Forecast(speeds={row_of("ann", "p", 1): timing}))
    mine = asks(job_class=row_of("ann", "p", 1))
    for node in free.nodes.values():
        for device in node.devices:
            assert 0 <= class_terms(mine, device_class_of(device, node), site)["throughput"] <= 1
