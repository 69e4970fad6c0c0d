"""Told start times are kept in random queues where nobody comes later, and jobs end at their limit
or before; the queue is run by the planner's own cycle, cycle by cycle."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import pytest

from slurm_het.core.assignment.first_fit import greedy
from slurm_het.core.model import Job, Placement
from slurm_het.core.planner.proposal import decide
from slurm_het.core.policy import Limits
from slurm_het.core.views.job_rows import as_planned, make_view
from slurm_het.core.views.starts import waiting_starts, with_starts
from slurm_het.core.views.whatif import WhatIf
from slurm_het.core.worth.forecast import Forecast
from tests.support.random_queues import Scene
from tests.support.squeue_cluster import NOW, POLICY


class Run:
    """A scene from now on, as long as something waits and something changes."""

    def __init__(self, seed: int, least: float) -> None:
        self.scene, self.rng, self.least = Scene(seed), random.Random(seed), least
        self.taken = self.scene.snapshot()
        self.now = float(NOW)
        self.jobs = {job.id: job for job in self.taken.jobs}
        self.cpus = {node.name: node.cpus_alloc for node in self.taken.nodes}
        self.ends = {i: self._end(j) for i, j in self.jobs.items() if j.state == "RUNNING"}
        self.told: dict[str, float] = {}
        self.started: dict[str, float] = {}

    def _end(self, job: Job) -> float:
        """When it does end: at its limit, or some time before."""
        left = job.end_time - self.now
        return self.now + left * self.rng.uniform(self.least, 1) if job.end_time else float("inf")

    def play(self) -> None:
        """Plan, start what is placed, let time pass to the next change; and once more."""
        first = True
        for when in self._changes():
            self.now = when
            for number in [i for i, end in self.ends.items() if end <= when]:
                self._count(self.jobs.pop(number), -1)
                del self.ends[number]
            nodes = tuple(replace(n, cpus_alloc=self.cpus[n.name]) for n in self.taken.nodes)
            now = replace(self.taken, time=when, jobs=tuple(self.jobs.values()), nodes=nodes)
            prepared = as_planned(now, POLICY, Limits())
            plan = decide(prepared, Forecast(), greedy)
            if first:
                self.told, first = waiting_starts(prepared, plan), False
            for placement in plan.placements:
                self._start(placement)

    def _changes(self) -> Iterator[float]:
        """Now, and each time when jobs end, or a reservation begins or ends."""
        yield self.now
        fixed = {at for r in self.scene.reservations for at in (r.start, r.end)}
        while any(job.state == "PENDING" for job in self.jobs.values()):
            coming = [at for at in {*self.ends.values(), *fixed} if self.now < at < float("inf")]
            if not coming:
                return
            yield min(coming)

    def _start(self, placement: Placement) -> None:
        job, ask = self.jobs[int(placement.key)], self.scene.asks[placement.key]
        what = f"shard:{ask.gib}" if ask.kind == "shard" else f"gpu:{ask.kind}:{ask.number}"
        limit = job.time_limit_minutes
        ran = replace(
            job, state="RUNNING", reason="None", partition=placement.partition,
            nodes=",".join(placement.nodes), cpus=len(placement.nodes),
            gres_detail=tuple(f"{what}(IDX:{','.join(map(str, d))})" for d in placement.devices),
            start_time=int(self.now), end_time=int(self.now) + 60 * limit if limit else 0,
        )  # fmt: skip
        self.jobs[job.id], self.ends[job.id] = ran, self._end(ran)
        self.started[placement.key] = self.now
        self._count(ran, 1)

    def _count(self, job: Job, change: int) -> None:
        for name in job.nodes.split(","):
            self.cpus[name] += change


@pytest.mark.parametrize("least", [0.2, 1.0], ids=["some end early", "all run to their limit"])
def test_told_times_are_kept_where_nobody_comes_later(least: float) -> None:
    told = kept = 0
    for seed in range(60):
        run = Run(seed, least)
        if run.scene.limited:
            continue
        run.play()
        told += len(run.told)
        kept += sum(run.started.get(key, float("inf")) <= at + 1 for key, at in run.told.items())
    assert told >= 40
    assert kept >= 0.95 * told, (kept, told)


def test_why_tells_the_same_time_as_start() -> None:
    """And whoever changes nothing changes nothing. A limit's jobs may start now or later: which,
    the next plan alone finds out."""
    found = Counter[str]()
    for seed in range(200):
        view = with_starts(make_view(Scene(seed).snapshot(), POLICY, Limits(), at=str))
        for row in view.rows:
            if not row.waits or row.expected is None or row.code == "no-plan":
                continue
            found[row.code] += 1
            whatif = WhatIf(view.prepared, row.job, Limits(), view.readings)
            told = whatif.as_it_is().start
            assert told == row.expected.start > NOW, (seed, row.id, row.reason)
            assert whatif.foresee(replace(row.job)).start == told, (seed, row.id)
    assert found["busy"] > 50, found
    assert found["kept"] > 5, found
