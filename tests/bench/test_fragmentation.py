"""FGD's measure of fragmentation, and the relaxation behind the bound, as pure functions."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.fragmentation import Measure, Mix
from bench.gaps import (
    Free,
    NodeModel,
    Shape,
    options,
)
from bench.relaxation import relaxation, total_free

ANY: frozenset[str] = frozenset()
BIG = NodeModel("a100", 64, 512, 4)
SMALL = NodeModel("t4", 64, 256, 2)
WHOLE_JOB = Shape(8, 32, 1, 1000, ANY)
HALF = Shape(4, 16, 1, 500, ANY)
TYPED = Shape(8, 32, 1, 1000, frozenset({"t4"}))
CPU_JOB = Shape(8, 32, 0, 0, ANY)

shapes = st.one_of(
    st.builds(Shape, st.integers(0, 20), st.integers(0, 99), st.integers(0, 4), st.just(1000),
              st.sampled_from([ANY, frozenset({"a100"}), frozenset({"t4"})])),
    st.builds(Shape, st.integers(0, 20), st.integers(0, 99), st.just(1), st.integers(1, 999),
              st.just(ANY)),
)  # fmt: skip
gaps = st.lists(st.integers(0, 1000), min_size=1, max_size=5).map(
    lambda found: tuple(sorted(found, reverse=True))
)
states = st.builds(Free, st.just("a100"), st.integers(0, 30), st.integers(0, 120), gaps)
mixes = st.lists(shapes, min_size=1, max_size=5, unique=True).map(
    lambda found: dict.fromkeys(found, 1 / len(found))
)


def fragmentation(free: Free, mix: Mix) -> float:
    return Measure(free.model, mix).of(free)


def test_a_share_may_go_on_each_distinct_gap() -> None:
    free = Free("a100", 8, 32, (1000, 700, 700, 400))
    assert [after.gaps for after in options(free, HALF)] == [
        (700, 700, 500, 400),
        (1000, 700, 400, 200),
    ]


def test_whole_devices_are_taken_from_the_empty_ones() -> None:
    free = Free("a100", 8, 32, (1000, 1000, 300))
    two = Shape(8, 32, 2, 1000, ANY)
    assert options(free, two) == [Free("a100", 0, 0, (300, 0, 0))]
    assert options(free, two._replace(devices=3)) == []


@pytest.mark.parametrize("change", [{"cpus": 9}, {"memory_mib": 33}, {"models": frozenset({"t4"})}])
def test_what_does_not_fit_has_no_options(change: dict[str, Any]) -> None:
    assert options(Free("a100", 8, 32, (1000,)), WHOLE_JOB._replace(**change)) == []


@given(states, shapes)
def test_options_take_exactly_what_was_asked(free: Free, shape: Shape) -> None:
    for after in options(free, shape):
        assert (after.cpus, after.memory_mib) == (
            free.cpus - shape.cpus,
            free.memory_mib - shape.memory_mib,
        )
        assert min(after.cpus, after.memory_mib, *after.gaps) >= 0
        assert sum(free.gaps) - sum(after.gaps) == shape.devices * shape.milli
        assert after.gaps == tuple(sorted(after.gaps, reverse=True))


def test_fragmentation_by_hand() -> None:
    # A whole job cannot use the 600; a half job can use both: 0.5 * 600 + 0.5 * 0.
    mix = {WHOLE_JOB: 0.5, HALF: 0.5}
    assert fragmentation(Free("a100", 8, 32, (1000, 600)), mix) == 300
    # Too few CPUs for the whole job: everything is lost to it.
    assert fragmentation(Free("a100", 4, 32, (1000, 600)), mix) == 800


@given(states, mixes)
def test_fragmentation_is_between_nothing_and_all_that_is_free(free: Free, mix: dict[Shape, float])\
        -> None:  # fmt: skip
    assert 0 <= fragmentation(free, mix) <= sum(free.gaps) + 1e-6


@given(states, mixes)
def test_fragmentation_as_the_paper_says_it(free: Free, mix: dict[Shape, float]) -> None:
    """The sum over the jobs: a gap is lost to one that cannot use it."""
    lost = 0.0
    for shape, share in mix.items():
        useful = options(free, shape) and shape.devices
        lost += share * sum(gap for gap in free.gaps if not useful or gap < shape.milli)
    assert fragmentation(free, mix) == pytest.approx(lost)


@given(states, mixes)
def test_fewer_cpus_never_lower_the_fragmentation(free: Free, mix: dict[Shape, float]) -> None:
    less = free._replace(cpus=free.cpus // 2)
    assert fragmentation(less, mix) >= fragmentation(free, mix) - 1e-9


def test_room_adds_nodes_up() -> None:
    found = total_free({Free("t4", 8, 32, (1000, 300)): 2, Free("t4", 16, 8, (0, 0)): 1})
    assert found == (32, 72, {1000: 2, 300: 2}, 16, 32, 1)


def test_the_relaxation_counts_shares_by_gap() -> None:
    # From one empty device: the flow 1000 -> 500 -> 0, all for the one size there is.
    lp = relaxation({BIG: total_free({BIG.empty(): 1})}, {HALF: 10.0})
    column = lp.program.columns[lp.uses[HALF, BIG]]
    assert column.gain == 0.5
    flows = [c for c in lp.program.columns if c.gain == 0 and c.upper == float("inf")]
    assert len(flows) == 2
    assert sum(-1.0 in c.terms.values() for c in flows) == 2


def test_what_can_never_fit_is_no_column() -> None:
    lp = relaxation({BIG: total_free({BIG.empty(): 1})}, {TYPED: 1.0, WHOLE_JOB: 1.0, CPU_JOB: 0.0})
    assert set(lp.uses) == {(WHOLE_JOB, BIG)}
