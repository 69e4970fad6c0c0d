"""In simulated time hetd's own cycle delays nobody whom plain Slurm protects."""

from __future__ import annotations

from dataclasses import replace

import pytest

from slurm_het.config import parse_config
from slurm_het.core.backfill import Backfill
from slurm_het.replay.sides import FirstFitSolver
from slurm_het.replay.site import settings_of
from slurm_het.replay.trace import DAY
from slurm_het.simulation import run
from slurm_het.simulation.hetd import LookPace
from slurm_het.simulation.jobs import JobSpec, NodeAsk
from slurm_het.simulation.slurm import Settings
from slurm_het.simulation.world import World
from tests.replay.past import site

CONFIG = """
intake_partition: accel
pools:
  train: {scenario: training, vendors: [nvidia]}
gres: {gpu: {}}
"""
AT = 100.0
"""When the jobs come that wait."""


def job(number: int, priority: int, nodes: int, devices: int, minutes: int) -> JobSpec:
    """It runs to its limit."""
    return JobSpec(
        id=number, submission="", at=AT, user=f"u{number}", account="a", qos="",
        partitions=("train",), features="", nodes=nodes, ask=NodeAsk(devices, None, 0, 1, 1000),
        minutes=minutes, seconds=60.0 * minutes, reservation="", gres=f"gpu:{devices}", script="",
        priority=priority,
    )  # fmt: skip


HALF = replace(job(91, 9000, 1, 4, 1500), at=0.0, on=frozenset({"a1"}))
FULL = replace(job(92, 9000, 1, 8, 15), at=0.0, on=frozenset({"a2"}))
LARGE, LONG = job(2, 500, 2, 2, 600), job(3, 100, 1, 1, 1440)


@pytest.mark.parametrize(
    "above",
    [(), (job(1, 800, 1, 2, 240),), (job(0, 900, 1, 8, 10), job(1, 800, 1, 2, 240))],
    ids=["nobody starts above", "one does", "beside another that waits"],
)
def test_a_large_job_waits_for_no_job_below_it(above: tuple[JobSpec, ...]) -> None:
    """Half of a1 is free, and a2 in a quarter of an hour. Nobody comes past the gate."""
    past = site()
    partitions = {"accel": past.partitions["train"], "train": past.partitions["train"]}
    world = World(
        seconds=16_000, hosts=past.hosts, partitions=partitions,
        jobs=(HALF, FULL, *above, LARGE, LONG), config=parse_config(CONFIG),
    )  # fmt: skip
    plain = run.plain(world, past.settings).starts[LARGE.id]
    ours = run.ours(world, past.settings, FirstFitSolver()).starts[LARGE.id]
    assert plain is not None
    assert ours is not None
    assert ours <= plain + 60


HOURS, DAYS = 60, 24 * 60
AWAY = replace(job(91, 9000, 1, 8, 36 * HOURS), at=0.0, on=frozenset({"a1"}))
WHOLE, LENGTHY = job(2, 500, 2, 8, 10 * HOURS), job(3, 100, 1, 4, 5 * DAYS)


@pytest.mark.parametrize(
    ("parameters", "delayed"),
    [("bf_window=10080", False), ("bf_window=10080,bf_min_age_reserve=999999", True), ("", True)],
)
def test_hetd_protects_whom_the_sites_own_backfill_would(parameters: str, delayed: bool) -> None:
    """The large job can start in 36 hours. By default Slurm looks a day ahead, and lets the small
    one, of five days, go before it; a site that looks a week ahead has it wait."""
    past = site()
    partitions = {"accel": past.partitions["train"], "train": past.partitions["train"]}
    world = World(
        seconds=5 * DAY + 600, hosts=past.hosts, partitions=partitions, jobs=(AWAY, WHOLE, LENGTHY),
        config=parse_config(CONFIG),
    )  # fmt: skip
    settings = settings_of({"SchedulerParameters": parameters})
    pace = LookPace(idle=DAY, rests=True)
    ours = run.ours(world, settings, FirstFitSolver(), pace=pace)
    for side in (run.plain(world, settings), ours):
        start = side.starts[WHOLE.id]
        assert start is not None
        assert (start > 5 * DAY) == delayed


@pytest.mark.parametrize(("planned", "soon"), [(1, True), (2, False)])
def test_for_no_more_tasks_of_an_array_than_slurm_plans_is_anything_kept(
    planned: int, *, soon: bool
) -> None:
    """Half of both nodes is free for an hour, then the tasks of the array have them."""
    past = site()
    half = job(0, 9000, 1, 4, HOURS)
    halves = [replace(half, id=90 + n, at=0.0, on=frozenset({f"a{n}"})) for n in (1, 2)]
    tasks = tuple(replace(job(n, 500, 1, 8, HOURS), array="7") for n in (11, 12))
    world = World(
        seconds=4 * HOURS * 60, hosts=past.hosts,
        partitions={"accel": past.partitions["train"], "train": past.partitions["train"]},
        jobs=(*halves, *tasks, replace(LONG, minutes=10 * HOURS)), config=parse_config(CONFIG),
    )  # fmt: skip
    settings = Settings(Backfill(of_array=planned))
    for side in (run.plain(world, settings), run.ours(world, settings, FirstFitSolver())):
        start = side.starts[LONG.id]
        assert soon == (start is not None and start < AT + 120)
