"""What is to be expected, from when tasks came and for how long they held room."""

from __future__ import annotations

import math
import random
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slurm_het.core.jobs.ending import JobEnd
from slurm_het.core.worth.profiles import TaskProfile
from slurm_het.core.worth.rates import (
    HOUR_SECONDS,
    MOST_AHEAD,
    WEEK,
    WEEK_SECONDS,
    Ended,
    HourSeen,
    Past,
    coming,
    exposure,
)
from slurm_het.journal import Journal

ONE = TaskProfile(("a100",), ("train-nv",))
EIGHT = ONE._replace(devices=8)
NOW = 3000 * WEEK_SECONDS
MONTH = NOW - 4 * WEEK_SECONDS


def seen(times: list[float], minutes: float = 60.0, now: float = NOW) -> list[HourSeen]:
    """What the journal has of tasks that came then."""
    hours = Counter((int((now - t) // WEEK_SECONDS), int(t // HOUR_SECONDS) % WEEK) for t in times)
    return [HourSeen(weeks, hour, n, n * minutes) for (weeks, hour), n in hours.items()]


def test_of_nothing_nothing_is_expected() -> None:
    assert not coming(Past(), NOW).load


def test_what_comes_evenly_is_expected_evenly() -> None:
    rng = random.Random(1)
    times = [rng.uniform(MONTH, NOW) for _ in range(4 * WEEK * 3)]  # three an hour
    found = coming(Past(MONTH, {ONE: seen(times, 8 * 60.0)}), NOW)
    hours = (found.until - NOW) / HOUR_SECONDS
    assert hours == 8, "for so long a device is held"
    assert found.tasks[ONE] == pytest.approx(3 * hours, rel=0.2)
    assert found.load[ONE] == pytest.approx(3 * 8, rel=0.2), "Little's law"


def test_the_hour_of_the_week_tells_once_enough_was_seen_in_it() -> None:
    """Four hundred each Monday at nine are expected then. Of one a week no hour tells much."""
    nines = [NOW - week * WEEK_SECONDS + 9 * HOUR_SECONDS for week in (1, 2, 3, 4)]
    nine, some = [at + n for at in nines for n in range(400)], nines
    past = Past(MONTH, {ONE: seen(nine), EIGHT: seen(some)})
    at_nine, at_noon = (coming(past, NOW + hour * HOUR_SECONDS) for hour in (9, 12))
    assert at_nine.until == NOW + 10 * HOUR_SECONDS
    assert 100 < at_nine.tasks[ONE] < 400
    assert at_noon.tasks[ONE] < 1
    assert at_nine.tasks[ONE] > 100 * at_noon.tasks[ONE]
    assert at_nine.tasks[EIGHT] < 5 * at_noon.tasks[EIGHT] < 0.1


def test_what_came_lately_counts_more() -> None:
    old = [MONTH + n * HOUR_SECONDS for n in range(WEEK)]
    new = [NOW - n * HOUR_SECONDS for n in range(1, WEEK)]
    found = coming(Past(MONTH, {ONE: seen(old), EIGHT: seen(new)}), NOW)
    assert found.tasks[EIGHT] > 4 * found.tasks[ONE]


def test_a_young_journal_exaggerates_nothing() -> None:
    """Three jobs in its first minute are three a day."""
    first = NOW - 60.0
    found = coming(Past(first, {ONE: seen([first, first + 10, first + 20], 24 * 60.0)}), NOW)
    assert found.tasks[ONE] == pytest.approx(3.0, rel=0.5)


def test_what_a_task_holds_is_learned_from_those_that_ended() -> None:
    """A profile of which none has ended holds as much of its limit as the others do."""
    times = [NOW - n * HOUR_SECONDS for n in range(1, WEEK)]
    came = {ONE: seen(times, 600.0), EIGHT: seen(times, 600.0)}
    by_limit = coming(Past(MONTH, came), NOW)
    ended = {ONE: Ended(WEEK * 600.0, WEEK * 60.0)}
    learned = coming(Past(MONTH, came, ended), NOW)
    assert (by_limit.until, learned.until) == (NOW + 10 * HOUR_SECONDS, NOW + HOUR_SECONDS)
    for profile in came:
        each = learned.load[profile] / learned.tasks[profile]
        assert each == pytest.approx(1.0, rel=0.05), "an hour, in the hour ahead"


@given(
    st.dictionaries(
        st.sampled_from([ONE, EIGHT, ONE._replace(devices=0, nodes=3)]),
        st.lists(
            st.builds(
                HourSeen, st.integers(0, 9), st.integers(0, WEEK - 1), st.floats(0.001, 1e6),
                st.floats(0.0, 1e9),
            ),
            min_size=1,
        ),
    ),
    st.floats(-1.0, 5 * WEEK_SECONDS),
    st.floats(0.0, 2.0),
)  # fmt: skip
def test_whatever_was_seen_the_answer_is_finite(
    came: dict[TaskProfile, list[HourSeen]], age: float, part: float
) -> None:
    ends = {p: Ended(100.0, 100.0 * part) for p in came if p.devices == 8}
    found = coming(Past(NOW - age, came, ends), NOW)
    assert found.until <= NOW + MOST_AHEAD * HOUR_SECONDS
    for numbers in (found.tasks, found.load):
        assert numbers.keys() == came.keys()
        assert all(0 < number < math.inf for number in numbers.values()), numbers


@given(st.floats(0.0, 6 * WEEK_SECONDS))
def test_each_hour_of_the_week_was_seen_as_long_as_it_was(age: float) -> None:
    hours = exposure(NOW - age, NOW)
    whole = age // WEEK_SECONDS
    least, most = (sum(0.5**n for n in range(int(weeks))) for weeks in (whole, whole + 2))
    assert all(least - 1e-6 <= hour <= most + 1e-6 for hour in hours)
    if age <= WEEK_SECONDS:
        assert sum(hours) == pytest.approx(age / HOUR_SECONDS, abs=1e-6)


def test_the_journal_tells_when_tasks_came_and_what_they_held(tmp_path: Path) -> None:
    """Of the jobs that took CPUs beside them, of which only sums are kept, an hour is one."""
    journal = Journal(tmp_path / "journal.db")
    monday, friday = NOW - 10 * HOUR_SECONDS, NOW - 9 * 24 * HOUR_SECONDS
    journal.record_demands(monday, [("1", ONE, 60.0), ("2", ONE, 120.0), ("3_1", EIGHT, 60.0)])
    journal.record_demands(friday, [("4", ONE, 60.0)])
    journal.add_demands(monday, {ONE._replace(devices=0): 90.0})
    journal.record_ends([
        JobEnd("1", 1, "COMPLETED", int(monday) + 60, int(monday) + 660),
        JobEnd("2", 1, "CANCELLED", 0, int(monday) + 660),
        JobEnd("3_1", 1, "TIMEOUT", int(monday), int(monday) + 3600),
        JobEnd("4", 1, "FAILED", int(friday) - 7200, int(friday) - 3600),
    ])  # fmt: skip
    past = journal.past(MONTH, NOW)
    assert past
    assert past.first == friday
    assert sorted(past.seen[ONE]) == [
        HourSeen(0, int(monday // HOUR_SECONDS) % WEEK, 2, 180.0),
        HourSeen(1, int(friday // HOUR_SECONDS) % WEEK, 1, 60.0),
    ]
    assert [one.tasks for one in past.seen[ONE._replace(devices=0)]] == [1.5]
    assert past.ended == {ONE: Ended(60.0, 10.0), EIGHT: Ended(60.0, 60.0)}
    journal.close()
