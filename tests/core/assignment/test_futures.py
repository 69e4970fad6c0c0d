"""How many tasks of each kind may come."""

from __future__ import annotations

from statistics import fmean, pvariance

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slurm_het.core.assignment.futures import SPREAD, futures

COUNT = 40


@given(st.lists(st.floats(0.0, 1e6), max_size=8), st.integers(0, 9))
def test_over_all_futures_as_many_come_as_are_expected(expected: list[float], seed: int) -> None:
    made = futures(expected, COUNT, seed)
    assert [len(future) for future in made] == [len(expected)] * COUNT
    for mean, *numbers in zip(expected, *made, strict=True):
        assert min(numbers) >= 0
        assert fmean(numbers) == pytest.approx(mean)


@pytest.mark.parametrize("mean", [1.0, 3.0, 30.0, 1000.0])
def test_numbers_vary_as_arrivals_of_an_uncertain_rate_do(mean: float) -> None:
    numbers = [future[0] for future in futures([mean], 400, 5)]
    assert pvariance(numbers) == pytest.approx(mean + SPREAD * mean**2, rel=0.05)


def test_rare_tasks_come_in_few_futures_and_kinds_do_not_come_together() -> None:
    made = futures([1e-3, 5.0, 5.0], COUNT, 5)
    assert sorted(future[0] for future in made)[-2:] == [0.0, pytest.approx(COUNT * 1e-3)]
    assert any(one < 5 < other for _, one, other in made)
    assert made == futures([1e-3, 5.0, 5.0], COUNT, 5) != futures([1e-3, 5.0, 5.0], COUNT, 6)
