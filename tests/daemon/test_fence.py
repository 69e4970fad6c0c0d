"""The fence between sharers of a device: who is told, who is ended, and that no other job is."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from slurm_het.core.cluster.overruns import Use
from slurm_het.core.model import Job
from slurm_het.core.policy import Policy
from slurm_het.daemon.fence import Fence
from slurm_het.settings import TelemetrySettings
from tests.support.fake_slurm import FakeSlurm
from tests.support.world import mixed, policy, snapshot

GIB = 1024
POLICY = policy()


def sharer(number: int, detail: str, **fields: Any) -> Job:
    base: dict[str, Any] = {
        "user": "ann", "uid": 1000, "state": "RUNNING", "nodes": "l40s1", "partition": "infer-nv",
    }  # fmt: skip
    return Job(number, gres_detail=(detail,), **(base | fields))


OVER = sharer(7, "shard:l40s:20(20/48,0/48)")
NEXT = sharer(8, "shard:l40s:10(10/48,0/48)", uid=1001)
WHOLE = sharer(9, "gpu:l40s:1(IDX:2)")
TASK = sharer(21, "shard:l40s:20(0/48,20/48)", array_job_id=21, array_task_id=4)
JOBS = (OVER, NEXT, WHOLE, TASK)


class Watched:
    """A fence that is told each second what jobs use."""

    def __init__(self, policy: Policy = POLICY, **settings: Any) -> None:
        given = TelemetrySettings(steady_seconds=3, fence_seconds=10, **settings)
        self.slurm, self.now = FakeSlurm(*JOBS), 0.0
        self.fence = Fence(given, policy, self.slurm, lambda: self.now)
        self.said: list[str] = []

    def told(self, *uses: Use, seconds: int = 1) -> None:
        async def run() -> None:
            for _ in range(seconds):
                self.now += 1
                now = (replace(use, taken=self.now) for use in uses)
                outcomes = await self.fence.look(snapshot(*JOBS), now)
                self.said += [f"{o.key} {o.event}" for o in outcomes]

        asyncio.run(run())


def use(job: Job, gib: float, index: int = 0, uid: int | None = None) -> Use:
    return Use("l40s1", index, job.id, job.uid if uid is None else uid, int(gib * GIB), 0.0)


def test_who_has_more_than_his_share_is_told_once_and_not_ended() -> None:
    it = Watched()
    it.told(use(OVER, 30), use(NEXT, 10), seconds=60)
    assert (it.said, it.slurm.ended) == (["7 overruns"], [])
    text = "slurm-het: this job has 30.0 GiB of l40s1:0, and its share is 20"
    assert it.slurm.told == [(7, text)]


def test_where_the_site_says_so_he_is_ended_after_the_warning() -> None:
    it = Watched(fence="end")
    it.told(use(OVER, 30), use(NEXT, 10), seconds=13)
    assert (it.said, it.slurm.ended) == (["7 overruns"], [])
    assert "if it still has in 10 s, it is ended" in it.slurm.told[0][1]
    it.told(use(OVER, 30), use(NEXT, 10))
    assert (it.said, it.slurm.ended) == (["7 overruns", "7 ended"], ["7"])


def test_who_mends_it_is_not_ended() -> None:
    it = Watched(fence="end")
    it.told(use(OVER, 30), seconds=8)
    it.told(use(OVER, 20))
    it.told(use(OVER, 30), seconds=8)
    assert it.slurm.ended == []
    assert it.said == ["7 overruns", "7 overruns"]


@pytest.mark.parametrize(
    "uses",
    [
        (use(OVER, 20.9), use(NEXT, 10.9)),  # a driver's own part
        (use(OVER, 30, uid=1001),),  # another user's process that says that it is of this job
        (use(OVER, 30, index=1),),  # it has no share of that one
        (use(WHOLE, 48, index=2),),
        (Use("l40s1", 0, 99, 1000, 30 * GIB, 0.0),),
        (Use("l40s2", 0, 7, 1000, 30 * GIB, 0.0),),
    ],
)
def test_nobody_else_is_told_or_ended(uses: tuple[Use, ...]) -> None:
    it = Watched(fence="end")
    it.told(*uses, seconds=60)
    assert (it.said, it.slurm.told, it.slurm.ended) == ([], [], [])


@pytest.mark.parametrize(("shadowed", "ended"), [("train-nv", {"7"}), ("infer-nv", set())])
def test_in_a_pool_in_shadow_nobody_is_told_or_ended(shadowed: str, ended: set[str]) -> None:
    it = Watched(mixed(shadowed).planned, fence="end")
    it.told(use(OVER, 30), seconds=60)
    assert (set(it.slurm.ended), bool(it.slurm.told)) == (ended, bool(ended))


def test_of_an_array_one_task_is_ended() -> None:
    it = Watched(fence="end")
    it.told(use(TASK, 40, index=1), seconds=20)
    assert set(it.slurm.ended) == {"21_4"}


def test_what_is_old_ends_nobody() -> None:
    """Samples that are no newer than the warning do not say that it still has so much."""
    it = Watched(fence="end")
    it.told(use(OVER, 30), seconds=5)

    async def run() -> None:
        old = replace(use(OVER, 30), taken=it.now)
        for _ in range(60):
            assert await it.fence.look(snapshot(*JOBS), [old]) == []

    asyncio.run(run())
    assert it.slurm.ended == []


def test_it_may_be_off() -> None:
    it = Watched(fence="off")
    it.told(use(OVER, 30), seconds=60)
    assert it.said == []
