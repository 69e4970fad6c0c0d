"""hetd's log says why jobs wait, as views do: when that changes, and of few at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace

import pytest

from slurm_het.core.jobs.mark import MARK
from slurm_het.core.model import Job
from slurm_het.core.policy import Limits
from slurm_het.core.views.job_rows import as_planned, make_view
from slurm_het.core.views.waiting import Remembered
from slurm_het.daemon.beside import PAUSE_SECONDS
from slurm_het.daemon.waits_log import MOST, WaitsLog
from slurm_het.times import local_time
from tests.support.world import marked, policy, running, snapshot

NOW = 1_795_000_000
ON_NV1, ON_NV2 = (
    running(90 + n, f"nv{n}", "gpu:a100:8(IDX:0-7)", end_time=NOW + 600, cpus=4) for n in (1, 2)
)
WHOLE = marked(7, tres_per_node="gpu:a100:8", submit_time=NOW)


class Kept:
    """A log with its clock, which stands still, and a hetd that remembers nothing yet."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level("INFO", "hetd.waits")
        self.caplog, self.ticks, self.busy = caplog, 0.0, False
        self.known = Remembered(answers=True)
        self.log = WaitsLog(lambda: self.ticks, lambda: self.busy)
        self.loop = asyncio.Runner()

    def said(self, *jobs: Job, after: float = PAUSE_SECONDS) -> list[str]:
        """What is new once a plan, so many seconds after the last one, has left these jobs."""
        self.caplog.clear()
        self.ticks += after
        self.loop.run(self._tell(*jobs))
        return list(self.caplog.messages)

    async def _tell(self, *jobs: Job) -> None:
        shot = replace(snapshot(*jobs), time=NOW)
        self.log.tell(as_planned(shot, policy(), Limits()), self.known)
        await self.log.settled()

    def shown(self, *jobs: Job) -> list[str]:
        """The same by what het-squeue shows of those that wait."""
        shot = replace(snapshot(*jobs), time=NOW)
        view = make_view(shot, policy(), Limits(), self.known, local_time)
        return [f"job {r.id} waits ({r.code}): {r.reason}" for r in view.rows if r.waits]


@pytest.fixture
def kept(caplog: pytest.LogCaptureFixture) -> Iterator[Kept]:
    made = Kept(caplog)
    with made.loop:
        yield made


def test_it_is_what_users_read_whenever_that_changes(kept: Kept) -> None:
    full = (ON_NV1, ON_NV2, WHOLE)
    assert kept.said(*full) == kept.shown(*full)
    assert "(busy)" in kept.caplog.text
    assert kept.said(*full) == [], "it is the same"
    assert kept.said(ON_NV2, WHOLE) == [], "it is about to start"
    fuller = (replace(ON_NV1, gres_detail=("gpu:a100:6(IDX:0-5)",)), ON_NV2, WHOLE)
    assert kept.said(*fuller) == kept.shown(*fuller), "the sentence changed, the code did not"
    held = replace(WHOLE, reason="JobHeldUser", priority=0)
    assert kept.said(ON_NV1, ON_NV2, held) == kept.shown(held)
    assert kept.said(ON_NV1, ON_NV2) == []
    assert kept.said(ON_NV1, ON_NV2, held) == kept.shown(held), "it was gone, and is back"


def test_what_the_plan_and_slurm_said_is_in_it(kept: Kept) -> None:
    kept.known = Remembered(answers=True, waiting={"7": "it is late"}, codes={"7": "next"})
    assert kept.said(WHOLE) == ["job 7 waits (next): it is late"]
    kept.known = replace(kept.known, returned={"7": ("Prolog", 2)})
    assert kept.said(WHOLE) == kept.shown(WHOLE)
    assert "Prolog" in kept.caplog.text


def test_so_is_why_one_waits_that_is_released(kept: Kept) -> None:
    pinned = replace(
        WHOLE, partition="train-nv", req_nodes="nv1", reason="Resources", start_time=NOW + 600
    )
    assert MARK in pinned.admin_comment
    assert kept.said(ON_NV1, pinned) == kept.shown(ON_NV1, pinned)
    assert "pinned to nv1" in kept.caplog.text
    later = replace(pinned, start_time=NOW + 660)
    assert kept.said(ON_NV1, later) == [], "only the time moved"
    assert kept.said(replace(pinned, start_time=0)) == [], "its nodes are free: Slurm starts it"


def test_a_flood_of_jobs_is_no_flood_of_lines(kept: Kept) -> None:
    jobs = [marked(n, tres_per_node="gpu:a100:8") for n in range(100, 150)]
    lines: list[str] = []
    for left in (50, 50 - MOST, 50 - 2 * MOST):
        told = kept.said(ON_NV1, ON_NV2, *jobs)
        assert len(told) == min(left, MOST + 1)
        lines += [line for line in told if "waits" in line]
    assert sorted(lines) == sorted(kept.shown(ON_NV1, ON_NV2, *jobs))
    assert kept.said(ON_NV1, ON_NV2, *jobs) == []


def test_it_is_sought_seldom_and_never_while_a_cycle_thinks(kept: Kept) -> None:
    kept.busy = True
    assert kept.said(ON_NV1, ON_NV2, WHOLE) == []
    kept.busy = False
    assert kept.said(ON_NV1, ON_NV2, WHOLE, after=PAUSE_SECONDS - 1) == []
    assert len(kept.said(ON_NV1, ON_NV2, WHOLE, after=1)) == 1
    kept.loop.run(kept.log.stop())
    assert kept.said(ON_NV1, ON_NV2, marked(8, tres_per_node="gpu:a100:8")) == []
