"""Durations, as Slurm reads and writes them."""

from __future__ import annotations

import pytest

from slurm_het.core.syntax.durations import parse_minutes, parse_seconds, parse_time_limit
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
