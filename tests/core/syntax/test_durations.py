"""Durations, as Slurm reads and writes them."""

from __future__ import annotations

import pytest

from slurm_het.core.syntax.durations import duration, parse_minutes, parse_seconds, parse_time_limit
from slurm_het.errors import HetError

HOUR, DAY = 3600, 86_400


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("10", 600), ("05:00", 300), ("00:05:00", 300), ("1:90", 150),
        ("7-0", 7 * DAY), ("7-00", 7 * DAY), ("1-2:3", DAY + 2 * HOUR + 180),
        ("2-12:30", 2 * DAY + 12 * HOUR + 1800), ("1-02:03:04", 93_784), ("00:00:00", 0),
        ("", None), ("NONE", None), ("UNLIMITED", None), ("INVALID", None), ("30 sec", None),
        ("1-", None), ("4:xx", None), ("1:2:3:4", None), ("-1", None), ("٣", None),
    ],
)  # fmt: skip
def test_every_form_that_slurm_knows(text: str, seconds: int | None) -> None:
    assert parse_seconds(text) == seconds


@pytest.mark.parametrize(
    ("text", "minutes"),
    [("1-00:00:00", 1440), ("01:30:00", 90), ("00:00:30", 1), ("1:90", 3), ("NONE", None)],
)
def test_a_minute_that_is_begun_counts(text: str, minutes: int | None) -> None:
    assert parse_minutes(text) == minutes


@pytest.mark.parametrize(
    ("text", "minutes"),
    [
        ("30", 30),
        ("1-12", 2160),
        ("unlimited", None),
        ("INFINITE", None),
        ("-1", None),
        ("0", None),
    ],
)
def test_a_time_limit_may_be_none(text: str, minutes: int | None) -> None:
    assert parse_time_limit(text) == minutes


@pytest.mark.parametrize("text", ["", "soon", "NONE", "1-", "4:xx"])
def test_what_is_no_time_limit_says_how_one_is_written(text: str) -> None:
    with pytest.raises(HetError, match="no time limit") as caught:
        parse_time_limit(text)
    assert "1-12:00:00" in caught.value.hint


@pytest.mark.parametrize(
    ("seconds", "text", "with_hours"),
    [
        (0, "0:00", "0:00:00"), (59, "0:59", "0:00:59"), (3600, "1:00:00", "1:00:00"),
        (2 * DAY + 3723, "2-01:02:03", "2-01:02:03"), (-5, "0:00", "0:00:00"),
    ],
)  # fmt: skip
def test_they_are_written_as_squeue_does(seconds: int, text: str, with_hours: str) -> None:
    assert duration(seconds) == text
    assert duration(seconds, hours=True) == with_hours
    assert parse_seconds(with_hours) == max(0, seconds)
