"""What was learned of users' programs, as people see it: of their limits, and of types' speeds."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby

from slurm_het.core.jobs.paces import (
    LIKELY,
    Pace,
    part_by,
    parts_of,
    timing_of_paces,
    usual_part,
)
from slurm_het.core.worth.speeds import LEAST_RUNS

SURE = 1.96
"""So many standard errors are on each side of what is so with a probability of 95 %."""


@dataclass(frozen=True, slots=True)
class LearnedSpeed:
    """How fast a program runs on a type, relative to the type with the most runs, and between what
    that is with a probability of 95 %. `runs` are those that compare; plans go by it once it is
    certain enough (`used`)."""

    type: str
    runs: int
    speed: float
    low: float
    high: float
    used: bool


@dataclass(frozen=True, slots=True)
class LearnedSize:
    """The speeds on so many devices in all, 0 being shares of them."""

    devices: int
    speeds: tuple[LearnedSpeed, ...]


@dataclass(frozen=True, slots=True)
class LearnedProgram:
    """What is learned of a user's program. `job` is the last one that ended, at `time`.

    Of its limit it takes the part `usual` in the mean, and 80 of 100 runs have ended by `likely`;
    None: too few runs have a limit.
    """

    user: str
    program: str
    time: int
    job: str
    runs: int
    usual: float | None
    likely: float | None
    sizes: tuple[LearnedSize, ...]


def learned_of(paces: Iterable[Pace]) -> tuple[LearnedProgram, ...]:
    """A row for each user's program, by user, the newest first."""

    def whose(pace: Pace) -> tuple[str, str]:
        return pace.user, pace.program

    together = groupby(sorted(paces), key=whose)
    rows = (_program(list(those)) for _, those in together)
    return tuple(sorted(rows, key=lambda row: (row.user, -row.time)))


def _program(paces: list[Pace]) -> LearnedProgram:
    last, parts = max(paces, key=lambda pace: pace.time), parts_of(paces)
    sizes = sorted({pace.devices for pace in paces})
    return LearnedProgram(
        last.user, last.program, int(last.time), last.job,
        sum(len(pace.runs) for pace in paces), usual_part(parts), part_by(parts, LIKELY),
        tuple(_size(n, [pace for pace in paces if pace.devices == n]) for n in sizes),
    )  # fmt: skip


def _size(devices: int, paces: list[Pace]) -> LearnedSize:
    timing = timing_of_paces(paces)
    names = sorted(timing.samples, key=lambda name: (-timing.samples[name].runs, name))
    speeds = []
    for name in names:
        runs, ratio = timing.samples[name].runs, timing.ratio(name, than=names[0])
        sure = math.exp(SURE * timing.error(name, than=names[0])) if name != names[0] else 1.0
        used = timing.certain and runs >= LEAST_RUNS
        speeds.append(LearnedSpeed(name, runs, ratio, ratio / sure, ratio * sure, used))
    return LearnedSize(devices, tuple(speeds))
