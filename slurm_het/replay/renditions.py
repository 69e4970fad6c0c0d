"""The same past by a little chance, several times.

Records have whole seconds, and jobs that began together and run the same end a moment apart. Who is
there, and what is free, when a scheduler looks may decide about minutes for many: two runs of the
same queue on a real Slurm differ by that as well. So a past that is not long is simulated several
times, and it is told how far the renditions are apart.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from itertools import groupby

from slurm_het.replay.trace import Trace
from slurm_het.simulation.jobs import JobSpec

NEVER = float("inf")
APART = 0.05
"""So far apart, in the mean, end jobs that began together and run the same: on a real Slurm 5 % of
such pairs ended in two seconds."""


def renditions(trace: Trace, times: int) -> list[Trace]:
    """So many of a past; one is as it is recorded."""
    return [trace] if times == 1 else [_rendition(trace, number) for number in range(times)]


def _rendition(trace: Trace, number: int) -> Trace:
    """The jobs of each second come over some part of it, one after the other, as from a script. And
    they run some part of a second longer or shorter."""
    jobs = tuple(_moved(trace.world.jobs, random.Random(number)))  # noqa: S311  # no secret
    return replace(trace, world=replace(trace.world, jobs=jobs))


def _moved(jobs: tuple[JobSpec, ...], rng: random.Random) -> Iterator[JobSpec]:
    longer: dict[tuple[object, ...], float] = {}
    seconds = [list(together) for _, together in groupby(jobs, lambda job: job.at)]
    begins = [-NEVER, *(those[0].at for those in seconds), NEVER]
    for those, before, at, after in zip(seconds, begins, begins[1:], begins[2:], strict=False):
        # What is submitted from one second into the next has no pause between them.
        first = 0.0 if _follows(at - before) else rng.random()
        last = 1.0 if _follows(after - at) else rng.uniform(first, 1.0)
        for n, job in enumerate(those):
            later = first + (last - first) * n / len(those)
            more = longer.setdefault(_alike(job), rng.uniform(-0.5, 0.5))
            ran = max(1.0, job.seconds + more + rng.expovariate(1 / APART))
            # Who takes his nodes when he really did does so here, too.
            yield replace(job, at=at if job.on else at + later, seconds=ran)


def _follows(seconds: float) -> bool:
    return abs(seconds - 1) < 0.001


def _alike(job: JobSpec) -> tuple[object, ...]:
    """Whoever submits the same again runs the same program: its runs are equally long."""
    return job.user, job.nodes, job.ask, job.minutes
