"""How many tasks of each profile are to be expected soon, and for how long they will hold room.

Of a profile the journal tells when its tasks came, in hours of the week, and for how long those
that ended held what they had. An observation counts half after HALF_LIFE_WEEKS. With n tasks in
T hours like this one, N in all hours and r of them an hour, the rate is

    (n + k r) / (T + k)    with k = 1 + 168 / N hours

the mean of a Gamma-Poisson model whose prior is worth k hours (Gelman et al., Bayesian Data
Analysis, 2.6). It is near r until a task was seen for each hour of the week, and n / T where much
was. What tasks hold of their limits is drawn to what all do in the same way.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from slurm_het.core.worth.profiles import TaskProfile

HALF_LIFE_WEEKS = 1.0
PRIOR = 2.0
"""What all tasks hold of their limits counts as much as so many of the profile's own."""
LEAST_HOURS = 24.0
"""Of a journal that is younger it is taken that nothing came before: three jobs in its first
minute are no rate of 180 an hour."""
MOST_AHEAD = 24
"""Nobody looks further ahead than so many hours."""
LEAST_MINUTES = 1.0
"""Limits are in whole minutes; and who fails at once still had to be placed."""
WEEK = 168
HOUR_SECONDS = 3600.0
WEEK_SECONDS = WEEK * HOUR_SECONDS


class HourSeen(NamedTuple):
    """Tasks that came in one hour of the week, so many weeks ago; `minutes` are their limits."""

    weeks_ago: int
    hour: int
    tasks: float
    minutes: float


class Ended(NamedTuple):
    """Tasks that have ended: the sum of their limits, and for how long they held room (minutes)."""

    asked: float
    minutes: float


@dataclass(frozen=True)
class Past:
    """What came since `first` (epoch seconds), by profile, and how long those that ended held."""

    first: float = math.inf
    seen: Mapping[TaskProfile, Sequence[HourSeen]] = field(default_factory=dict)
    ended: Mapping[TaskProfile, Ended] = field(default_factory=dict)


@dataclass(frozen=True)
class Coming:
    """What is to be expected until then (epoch seconds).

    `tasks` of each profile come. `load` is how many of them will run at a time, were there room for
    all of them: by Little's law their rate times how long one holds it.
    """

    until: float = 0.0
    tasks: Mapping[TaskProfile, float] = field(default_factory=dict)
    load: Mapping[TaskProfile, float] = field(default_factory=dict)


def coming(past: Past, now: float) -> Coming:
    """What is to be expected while room that is taken now is held, in the mean of all devices."""
    hours_like = exposure(past.first, now)
    rates = {profile: _Rate.of(seen, hours_like) for profile, seen in past.seen.items()}
    held = _hours_held(rates, past.ended)
    ahead = _hours_ahead(rates, held)
    first = int(now // HOUR_SECONDS)
    tasks = {
        profile: sum(rate.at((first + n) % WEEK, hours_like) for n in range(ahead))
        for profile, rate in rates.items()
    }
    load = {profile: count / ahead * held[profile] for profile, count in tasks.items()}
    return Coming(now + ahead * HOUR_SECONDS, tasks, load)


def exposure(first: float, now: float) -> list[float]:
    """For how many hours each hour of the week has been seen since then, as they count now."""
    hours = [0.0] * WEEK
    if first >= now:
        return hours
    for n in range(int(first // HOUR_SECONDS), int(now // HOUR_SECONDS) + 1):
        begin, end = max(first, n * HOUR_SECONDS), min(now, (n + 1) * HOUR_SECONDS)
        counts = _decay(int((now - end) // WEEK_SECONDS))
        hours[n % WEEK] += counts * (end - begin) / HOUR_SECONDS
    return hours


def _decay(weeks_ago: int) -> float:
    return float(0.5 ** (weeks_ago / HALF_LIFE_WEEKS))


class _Rate(NamedTuple):
    """How many tasks of a profile come: in an hour, and were seen by hour of the week; `limit` is
    their mean time limit (minutes)."""

    overall: float
    seen: Mapping[int, float]
    limit: float

    @classmethod
    def of(cls, seen: Sequence[HourSeen], hours_like: Sequence[float]) -> _Rate:
        """From what was seen of it."""
        by_hour: dict[int, float] = {}
        minutes = 0.0
        for one in seen:
            counts = _decay(one.weeks_ago)
            by_hour[one.hour] = by_hour.get(one.hour, 0.0) + counts * one.tasks
            minutes += counts * one.minutes
        tasks = sum(by_hour.values())
        overall = tasks / max(LEAST_HOURS, sum(hours_like))
        return cls(overall, by_hour, max(LEAST_MINUTES, minutes / tasks))

    def at(self, hour: int, hours_like: Sequence[float]) -> float:
        """How many come in that hour of the week."""
        prior = 1.0 + WEEK / sum(self.seen.values())
        return (self.seen.get(hour, 0.0) + prior * self.overall) / (hours_like[hour] + prior)


def _hours_held(
    rates: Mapping[TaskProfile, _Rate], ended: Mapping[TaskProfile, Ended]
) -> dict[TaskProfile, float]:
    """For how many hours a task of each profile holds room: a part of its limit."""
    asked = sum(one.asked for one in ended.values())
    usual = sum(one.minutes for one in ended.values()) / asked if asked else 1.0
    hours: dict[TaskProfile, float] = {}
    for profile, rate in rates.items():
        mine = ended.get(profile, Ended(0.0, 0.0))
        prior = PRIOR * rate.limit
        part = (mine.minutes + prior * usual) / (mine.asked + prior)
        hours[profile] = max(LEAST_MINUTES, rate.limit * part) / 60.0
    return hours


def _hours_ahead(rates: Mapping[TaskProfile, _Rate], held: Mapping[TaskProfile, float]) -> int:
    """For how long a device that is taken is held in the mean, in whole hours."""
    load = {
        profile: rate.overall * held[profile] * profile.devices * profile.nodes
        for profile, rate in rates.items()
    }
    total = sum(load.values())
    mean = sum(load[profile] * held[profile] for profile in load) / total if total else 0.0
    return min(MOST_AHEAD, max(1, math.ceil(mean)))
