"""How fast a user's programs run on each type of device, as far as their runs tell: with how much
certainty, and what that makes of the speed that is to be expected of the type."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from statistics import fmean
from typing import NamedTuple

from slurm_het.core.model import Task

LEAST_RUNS = 3
"""From fewer runs on a type nothing is concluded."""
CERTAIN = 0.4
"""The largest standard error of the logarithm of a ratio that counts: a factor of 1.5."""
SPREAD = 0.8
"""How far a program's speed on a type is from what is believed of the type: a standard deviation
of its logarithm, a factor of two. In Gavel's measured speeds it is 0.78."""
NOISE, NOISE_RUNS = 0.3, 4
"""Before any run is seen its run times are taken to vary by so much (a standard deviation of the
logarithm), and that to be known from so many runs."""


class PastRun(NamedTuple):
    """One run of a program: how many seconds, and its limit (0: it had none); when it `ended`
    (epoch seconds), and the id of its job.

    `compares`: it came to its end by itself, and its user had left the type of device open, so that
    the run tells of the type and not of what the user keeps that type for.
    """

    seconds: int
    limit_seconds: int = 0
    compares: bool = False
    ended: int = 0
    job: int = 0

    @property
    def part(self) -> float | None:
        """The part of its limit that it took, 0..1; None without one."""
        return min(1.0, self.seconds / self.limit_seconds) if self.limit_seconds else None


class TypeTimes(NamedTuple):
    """How many runs there were on a type, and the mean of the logarithms of their times."""

    runs: int
    mean: float


@dataclass(frozen=True, slots=True)
class Timing:
    """How long the same program takes on so many devices of each type.

    `variance` is that of the logarithm of one run's time, which is a part of its limit if that is
    what is known (`of_limit`).
    """

    samples: Mapping[str, TypeTimes] = field(default_factory=dict)
    variance: float = NOISE**2
    of_limit: bool = False

    @property
    def certain(self) -> bool:
        """Whether the ratio of the two types with the most runs is known well enough to be used."""
        most = sorted(self.samples, key=lambda name: -self.samples[name].runs)[:2]
        enough = [name for name in most if self.samples[name].runs >= LEAST_RUNS]
        return len(enough) == 2 and self.error(*enough) <= CERTAIN

    def ratio(self, type_: str, than: str) -> float:
        """How many times faster it is on a type than on another one, as measured."""
        return math.exp(self.samples[than].mean - self.samples[type_].mean)

    def error(self, type_: str, than: str) -> float:
        """The standard error of that ratio's logarithm."""
        one, other = self.samples[type_], self.samples[than]
        return math.sqrt(self.variance * (1 / one.runs + 1 / other.runs))

    def seconds(self, minutes: int | None, types: Iterable[str]) -> dict[str, float]:
        """How many seconds a run is expected to take on each of these types, as far as they are
        known. `minutes` are its limit."""
        if self.of_limit and not minutes:
            return {}
        unit = 60.0 * (minutes or 0) if self.of_limit else 1.0
        known = ((name, self.samples[name]) for name in types if name in self.samples)
        return {
            name: unit * math.exp(sample.mean + self.variance / 2)
            for name, sample in known
            if sample.runs >= LEAST_RUNS
        }

    def corrections(self, believed: Mapping[str, float]) -> dict[str, float]:
        """By type, how many times faster it is than what is believed of the types.

        `believed` are those relative speeds. What few runs say is shrunk to 1: the best linear
        unbiased prediction in a model of random effects (Henderson 1975; Efron and Morris 1975).
        """
        known = {
            name: sample
            for name, sample in self.samples.items()
            if sample.runs >= LEAST_RUNS and believed.get(name, 0.0) > 0
        }
        late = {t: s.mean + math.log(believed[t]) for t, s in known.items()}
        variances = {t: SPREAD**2 + self.variance / s.runs for t, s in known.items()}
        weight = sum(1 / v for v in variances.values())
        if not weight:
            return {}
        mean = sum(late[t] / v for t, v in variances.items()) / weight
        return {t: math.exp((mean - late[t]) * SPREAD**2 / v) for t, v in variances.items()}


def timing_of(runs: Mapping[str, Sequence[PastRun]]) -> Timing:
    """What the runs of one program on one number of devices tell, by type.

    Those count that compare. By their times, or by the parts of their limits, whichever varies
    less: who asks for more time when there is more to do tells how much there is.
    """
    compared = {name: [run for run in those if run.compares] for name, those in runs.items()}
    runs = {name: those for name, those in compared.items() if those}
    ways = [_timing(runs, of_limit=False)]
    if all(run.limit_seconds for those in runs.values() for run in those):
        ways.append(_timing(runs, of_limit=True))
    return min(ways, key=lambda timing: timing.variance)


def _timing(runs: Mapping[str, Sequence[PastRun]], *, of_limit: bool) -> Timing:
    logs = {
        name: [math.log(run.seconds / (run.limit_seconds if of_limit else 1)) for run in those]
        for name, those in runs.items()
    }
    samples = {name: TypeTimes(len(those), fmean(those)) for name, those in logs.items()}
    squares = sum((x - samples[name].mean) ** 2 for name, those in logs.items() for x in those)
    beyond = sum(sample.runs - 1 for sample in samples.values())
    variance = (NOISE_RUNS * NOISE**2 + squares) / (NOISE_RUNS + beyond)
    return Timing(samples, variance, of_limit)


Speeds = Mapping[str, Timing]
"""What is known with certainty, by the name of its row: see row_of()."""


def row_of(user: str, program: str, devices: int) -> str:
    """The row of the speeds for a user's program; no class of the site's has such a name."""
    return f"{program} x{devices} of {user}"


def classed(tasks: Sequence[Task], speeds: Speeds, most: int) -> tuple[Task, ...]:
    """The tasks; of whose program the speeds are known has that row for its class, as far as there
    are `most` such rows."""
    rows = {task: row_of(task.user, task.program, devices_of(task)) for task in tasks if speeds}
    known = dict.fromkeys(row for task, row in rows.items() if row in speeds and not task.job_class)
    used = set(islice(known, most))
    return tuple(
        replace(task, job_class=rows[task])
        if rows.get(task) in used and not task.job_class
        else task
        for task in tasks
    )


def devices_of(task: Task) -> int:
    """On how many devices it runs in all; 0: on shares of them."""
    return 0 if task.takes_share else sum(slot.devices for slot in task.slots)
