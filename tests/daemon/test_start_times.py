"""Told start times: kept for each job that waits, held against its start, bounded."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from slurm_het.core.jobs.mark import encode_comment
from slurm_het.core.jobs.paces import Pace, Paces
from slurm_het.core.model import Classification, Job, Placement, Plan, Snapshot
from slurm_het.core.planner.proposal import Prepared
from slurm_het.core.policy import Limits
from slurm_het.core.views.accuracy import ToldStart
from slurm_het.core.views.job_rows import as_planned
from slurm_het.core.worth.speeds import PastRun
from slurm_het.daemon.beside import PAUSE_SECONDS
from slurm_het.daemon.start_times import StartTimes
from slurm_het.journal import Journal
from tests.support.world import marked, policy, running, snapshot

NOW = 1_795_000_000
BUSY = tuple(
    running(90 + n, f"nv{n}", "gpu:a100:8(IDX:0-7)", end_time=NOW + 600 * n, cpus=4) for n in (1, 2)
)


def waits(number: int, **fields: object) -> Job:
    """A job for all devices of a node."""
    base = {"submit_time": NOW, "tres_per_node": "gpu:a100:8", "time_limit_minutes": 100}
    return marked(number, **(base | fields))


def ran(job: Job, start: int) -> Job:
    """The same job, seen to run."""
    return replace(job, state="RUNNING", nodes="nv1", start_time=start, partition="train-nv")


NOTHING = Plan()


class Telling:
    """Start times, with a clock that stands still."""

    def __init__(self, path: Path) -> None:
        self.journal, self.ticks, self.busy = Journal(path), 0.0, False
        self.paces = Paces()
        self.loop = asyncio.Runner()
        self.restart()

    def restart(self) -> None:
        """A new hetd on the same journal."""
        self.times = StartTimes(self.journal, lambda: self.ticks, lambda: self.busy)

    def look(self, *jobs: Job, after: float = PAUSE_SECONDS, plan: Plan = NOTHING) -> None:
        """A cycle that finds these jobs beside those that run, so many seconds after the last."""
        self.ticks += after
        shot = replace(snapshot(*BUSY, *jobs), time=NOW + self.ticks)
        self.times.see(shot)
        self.loop.run(self.told(shot, plan))

    async def told(self, shot: Snapshot, plan: Plan) -> None:
        """The same, in a loop that runs."""
        prepared: Prepared = as_planned(shot, policy(), Limits())
        self.times.tell(prepared, plan, self.paces)
        await self.times.settled()

    def of(self, key: str) -> ToldStart:
        """What the journal has of a job that was told a time."""
        self.journal.record_jobs([(waits(int(key)), None)])
        told = self.journal.history(key).told
        assert told, f"nothing was told of {key}"
        return told

    def names(self) -> set[str]:
        """Of whom something was told."""
        return {key for (key,) in self.journal.db.execute("SELECT key FROM told")}


@pytest.fixture
def telling(tmp_path: Path) -> Iterator[Telling]:
    it = Telling(tmp_path / "journal.db")
    yield it
    it.journal.close()
    it.loop.close()


def test_the_first_and_the_last_told_time_are_kept_and_the_start(telling: Telling) -> None:
    one, two, three = waits(1, priority=9), waits(2, priority=8), waits(3, priority=7)
    telling.look(one, two, three)
    first = telling.of("3")
    assert first.first == NOW + 600 + 6000, "after the first of the others"
    telling.look(one, two, replace(three, priority=10))
    last = telling.of("3")
    assert (last.first, last.last) == (NOW + 6600, NOW + 600)
    assert (last.first_at, last.last_at) == (NOW + 10, NOW + 20)
    telling.look(one, two, ran(three, NOW + 25))
    over = telling.of("3")
    assert over.started == NOW + 25
    telling.look(one, two, ran(three, NOW + 25))
    assert telling.times.accuracy.told == telling.times.accuracy.kept == 1
    assert telling.times.status()["half_seconds"] == 6575


def test_who_is_placed_by_this_plan_is_told_nothing(telling: Telling) -> None:
    placed = Placement("1", "train-nv", ("nv1",), ((0,),), ("a100",), 80)
    telling.look(waits(1), waits(2), plan=Plan((placed,)))
    assert telling.names() == {"2"}


def test_a_new_hetd_finds_out_who_started_meanwhile(telling: Telling) -> None:
    telling.look(waits(1))
    telling.restart()
    telling.look(ran(waits(1), NOW + 50))
    told = telling.of("1")
    assert told.started == NOW + 50


def test_a_start_that_nobody_saw_is_known_from_the_end(telling: Telling) -> None:
    telling.look(waits(1), waits(2))
    telling.look()
    ended = replace(ran(waits(1), NOW + 3), state="FAILED", end_time=NOW + 4)
    telling.times.heard([ended, replace(waits(2), state="CANCELLED")])
    assert telling.of("1").started == NOW + 3
    assert telling.of("2").started == 0, "it never started"


def test_what_was_told_of_a_job_that_its_user_holds_is_taken_back(telling: Telling) -> None:
    telling.look(waits(1))
    telling.look(waits(1, priority=0, reason="JobHeldUser"))
    assert telling.names() == set()
    telling.look(waits(1))
    told = telling.of("1")
    assert told.first_at == NOW + 30


def test_what_was_told_before_an_admin_opened_the_gate_is_taken_back(telling: Telling) -> None:
    telling.look(waits(1), waits(2))
    telling.look(waits(1), ran(waits(2), NOW + 15))
    telling.times.withdraw()
    assert telling.names() == {"2"}


def test_it_rests_between_and_gives_way_to_a_cycle(telling: Telling) -> None:
    telling.look(waits(1))
    telling.look(waits(1), waits(2), after=1.0)
    assert telling.names() == {"1"}, "the last time is not long ago"
    telling.busy = True
    telling.look(*(waits(n) for n in range(1, 6)))
    assert "5" not in telling.names()
    telling.busy = False
    telling.look(*(waits(n) for n in range(1, 6)))
    assert "5" in telling.names()


def test_when_jobs_probably_start_is_worked_out_too_and_not_kept(telling: Telling) -> None:
    """By how the program of those that run usually ends; that time can be wrong."""
    mark = encode_comment(Classification("training", program="p"), {})
    usual = (PastRun(100, 1000),) * 9
    telling.paces = Paces([Pace("ann", "p", "a100", 8, runs=usual)])
    runs = running(
        93, "nv1", "gpu:a100:8(IDX:0-7)", user="ann", admin_comment=mark, cpus=4,
        start_time=NOW, end_time=NOW + 6000, time_limit_minutes=100,
    )  # fmt: skip
    telling.look(runs, waits(1, admin_comment=mark, tres_per_node="gpu:a100:8"))
    assert telling.times.likely["1"] == NOW + 600
    assert telling.of("1").first == NOW + 1200
