"""Told start times against what happened."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slurm_het.core.views.accuracy import SLACK, Accuracy, ToldStart, accuracy_of

TOLD = 1000.0


def started(late: float) -> ToldStart:
    """It was told a time, later another one, and started so late after the first."""
    return ToldStart(500.0, TOLD, 900.0, TOLD + 77, TOLD + late)


def test_sooner_and_a_moment_later_are_kept_and_what_waits_does_not_count() -> None:
    waits = ToldStart(500.0, TOLD, 500.0, TOLD)
    found = accuracy_of([started(-400), started(0), started(SLACK), started(SLACK + 1), waits])
    assert (found.told, found.kept) == (4, 3)
    assert (found.half_seconds, found.most_seconds) == (60, 400)
    assert str(found) == "of the last 4 told times 75 % were kept; half within 60 s"


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.2, "1 s"), (61, "2 min"), (240, "4 min"), (8281, "2.4 h")]
)
def test_the_error_is_told_in_few_figures(seconds: float, said: str) -> None:
    assert str(Accuracy(200, 194, seconds, seconds)) == (
        f"of the last 200 told times 97 % were kept; half within {said}"
    )


def test_where_nothing_is_over_it_says_so() -> None:
    assert "no told time is over yet" in str(accuracy_of([]))


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=300))
def test_half_are_as_near_as_is_said_and_nine_of_ten(lates: list[float]) -> None:
    found = accuracy_of(map(started, lates))
    for part, within in ((0.5, found.half_seconds), (0.9, found.most_seconds)):
        near = sum(abs(started(late).late) <= within for late in lates)
        nearer = sum(abs(started(late).late) < within for late in lates)
        assert near >= part * len(lates) > nearer or nearer == 0
    assert 0 <= found.kept <= found.told == len(lates)
