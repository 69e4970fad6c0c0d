"""Plain Slurm's model has an array as a record of its queue, as both schedulers of Slurm do."""

from __future__ import annotations

from dataclasses import replace

import pytest

from slurm_het.core.backfill import Backfill
from slurm_het.simulation import run
from slurm_het.simulation.jobs import JobSpec, NodeAsk
from slurm_het.simulation.slurm import Settings
from slurm_het.simulation.world import World
from tests.replay.past import never_ran, record, site, trace_of

HOUR = 3600.0
BEHIND = 9
"""The job that stands behind the array."""


def job(number: int, devices: int, minutes: int, **told: object) -> JobSpec:
    """It runs to its limit; the lower its number, the higher its priority."""
    spec = JobSpec(
        id=number, submission="", at=0.0, user="u", account="a", qos="", partitions=("train",),
        features="", nodes=1, ask=NodeAsk(devices, None, 0, 1, 1000), minutes=minutes,
        seconds=60.0 * minutes, reservation="", gres=f"gpu:{devices}", script="",
        priority=10_000 - number,
    )  # fmt: skip
    return replace(spec, **told)  # type: ignore[arg-type]  # what a spec has


HALVES = tuple(job(n, 4, 60, on=frozenset({f"a{n}"})) for n in (1, 2))
"""Both nodes are half taken for an hour."""


def starts(settings: Settings, behind: JobSpec, tasks: int) -> float:
    """When a job starts that comes after an array of so many whole nodes."""
    array = tuple(job(100 + n, 8, 60, array="7", priority=5000) for n in range(tasks))
    past = site()
    world = World(
        seconds=24 * HOUR, hosts=past.hosts, partitions=past.partitions,
        jobs=(*HALVES, *array, replace(behind, at=0.2, priority=1)), config=past.config,
    )  # fmt: skip
    start = run.plain(world, settings).starts[behind.id]
    return float("inf") if start is None else start


def test_an_array_that_waits_is_one_of_those_that_the_main_scheduler_looks_at() -> None:
    settings = Settings(queue_depth=50, sched_interval=10 * HOUR, backfills=False)
    assert starts(settings, job(BEHIND, 1, 5, partitions=("infer",)), tasks=200) < 10


@pytest.mark.parametrize(("looks_at", "waits"), [(20, True), (21, False), (50, False)])
def test_twenty_tasks_of_an_array_count_among_those_that_backfill_looks_at(
    looks_at: int, *, waits: bool
) -> None:
    settings = Settings(backfill=Backfill(jobs=looks_at))
    assert (starts(settings, job(BEHIND, 2, 5), tasks=200) > HOUR) == waits


@pytest.mark.parametrize(("planned", "waits"), [(1, False), (2, True), (20, True)])
def test_nothing_is_kept_for_tasks_that_are_not_planned(planned: int, *, waits: bool) -> None:
    """The first task keeps a node; unless a second does, a long job starts on the other."""
    settings = Settings(Backfill(of_array=planned))
    assert (starts(settings, job(BEHIND, 4, 600), tasks=2) > HOUR) == waits


def test_tasks_of_a_past_are_of_their_array() -> None:
    trace, _ = trace_of(
        record("12", 90_000),
        record(13, 90_100, JobID="12_4"),
        never_ran(14, 90_200, JobID="14_[0-2]"),
    )
    assert [spec.array for spec in trace.world.jobs][:5] == ["", "12", "14", "14", "14"]
